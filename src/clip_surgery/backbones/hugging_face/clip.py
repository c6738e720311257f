"""transformers' CLIP towers with a class token, and the text towers beside them.

CLIP, MetaCLIP 2, AltCLIP and Chinese-CLIP have one image tower. CLIP's and MetaCLIP 2's texts go
through causal pre-norm blocks; AltCLIP's and Chinese-CLIP's through BERT's kin, which transformers
runs itself.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from clip_surgery.backbones.opaque_text import opaque_text_tower
from clip_surgery.backbones.patch_embedding import embed_pixels
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.backbones.projections import separate_projections
from clip_surgery.backbones.tokenizers import tokenize_with
from clip_surgery.backbones.tower import Attention, Block, TextTower, TokenMap, Tower

# what transformers once wrote into every CLIP configuration; such models pool the highest id
_LEGACY_END_TOKEN = 2


def read_class_token_tower(model: Any, mode: PositionMode) -> Tower:
    """Read the image tower of CLIP, MetaCLIP 2, AltCLIP or Chinese-CLIP."""
    vision = model.vision_model

    def embed(pixels: Tensor) -> Tensor:
        embeddings = vision.embeddings
        tokens = embed_pixels(
            pixels,
            to_patches=embeddings.patch_embedding,
            patch_size=int(embeddings.patch_size),
            dtype=embeddings.patch_embedding.weight.dtype,
            prefix=embeddings.class_embedding[None],
            positions=embeddings.position_embedding.weight,
            native=(embeddings.image_size, embeddings.image_size),
            mode=mode,
        )
        normed: Tensor = vision.pre_layrnorm(tokens)  # transformers' own spelling
        return normed

    def project(tokens: Tensor) -> Tensor:
        projected: Tensor = model.visual_projection(vision.post_layernorm(tokens))
        return projected

    def pool(tokens: Tensor) -> Tensor:
        return project(tokens[:, 0])

    return Tower(
        embed=embed,
        blocks=tuple(read_layer(layer) for layer in vision.encoder.layers),
        project=project,
        pool=pool,
        pool_reads="prefix",
        prefix_tokens=1,
        patch_size=int(vision.embeddings.patch_size),
        width=int(vision.embeddings.class_embedding.shape[0]),
    )


def read_causal_text(model: Any, tokenizer: Any) -> TextTower:
    """Read the text tower of CLIP or MetaCLIP 2."""
    text = model.text_model
    return read_block_text(
        text,
        tokenizer,
        head=model.text_projection,
        end_positions=_end_positions(text.config),
        causal=True,
    )


def read_block_text(
    text: Any, tokenizer: Any, *, head: TokenMap, end_positions: TokenMap, causal: bool
) -> TextTower:
    """Read a text model of pre-norm blocks; `head` takes its normed tokens to the joint space."""
    embeddings = text.embeddings
    context_length = int(embeddings.position_embedding.num_embeddings)

    def embed(token_ids: Tensor, start: int = 0) -> Tensor:
        positions = embeddings.position_embedding.weight[start : start + token_ids.shape[1]]
        embedded: Tensor = embeddings.token_embedding(token_ids) + positions
        return embedded

    return TextTower(
        tokenize=tokenize_with(tokenizer, context_length=context_length),
        embed=embed,
        blocks=tuple(read_layer(layer) for layer in text.encoder.layers),
        project=lambda tokens: head(text.final_layer_norm(tokens)),
        end_positions=end_positions,
        causal=causal,
        context_length=context_length,
        width=int(embeddings.token_embedding.embedding_dim),
    )


def read_bert_text(model: Any, tokenizer: Any) -> TextTower:
    """Wrap the text tower of AltCLIP or Chinese-CLIP, padding masked as transformers does."""
    text = model.text_model
    config = text.config
    padding = int(config.pad_token_id or 0)
    # RoBERTa counts positions from behind the padding's id
    skipped = padding + 1 if hasattr(text, "roberta") else 0
    positions = int(config.max_position_embeddings) - skipped
    context_length = min(positions, int(getattr(tokenizer, "model_max_length", positions)))

    def encode(token_ids: Tensor) -> Tensor:
        real = token_ids != padding
        length = int(real.any(dim=0).nonzero().max()) + 1 if real.any() else 1
        real, token_ids = real[:, :length], token_ids[:, :length]  # what is masked costs time only
        found = model.get_text_features(token_ids, attention_mask=real.long())
        features: Tensor = getattr(found, "pooler_output", found)  # version 4 gives the tensor
        return features

    return opaque_text_tower(
        model,
        encode=encode,
        tokenize=tokenize_with(tokenizer, context_length=context_length),
        context_length=context_length,
        width=int(config.hidden_size),
    )


def read_layer(layer: Any) -> Block:
    """Read one encoder layer of CLIP's or SigLIP's towers."""
    attention = layer.self_attn
    return Block(
        norm_attention=layer.layer_norm1,
        attention=Attention(
            heads=int(attention.num_heads),
            scale=float(attention.scale),
            project_in=separate_projections(attention.q_proj, attention.k_proj, attention.v_proj),
            project_out=attention.out_proj,
        ),
        norm_feed_forward=layer.layer_norm2,
        feed_forward=layer.mlp,
    )


def _end_positions(config: Any) -> TokenMap:
    """Pool where transformers does: at the first end token, or the highest id in old CLIPs."""
    end_token = int(config.eos_token_id)
    if end_token == _LEGACY_END_TOKEN and config.model_type.startswith("clip"):
        return lambda token_ids: token_ids.argmax(dim=-1)
    return lambda token_ids: (token_ids == end_token).int().argmax(dim=-1)
