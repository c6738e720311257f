"""Read the towers of CLIP, MetaCLIP 2, AltCLIP and Chinese-CLIP of transformers.

All four have the same kind of image tower, with a class token. The text towers of CLIP and MetaCLIP
2 consist of causal pre-norm blocks. Those of AltCLIP and Chinese-CLIP are BERT-like and are run by
transformers itself.
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

# Early versions of transformers wrote this id into every CLIP configuration. These models pool the
# token with the highest id.
_LEGACY_END_TOKEN = 2


def read_class_token_tower(model: Any, mode: PositionMode) -> Tower:
    """Return the image tower of CLIP, MetaCLIP 2, AltCLIP or Chinese-CLIP.

    Args:
        model: the model.
        mode: interpolation of position embeddings.
    """
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
        normed: Tensor = vision.pre_layrnorm(tokens)  # spelled so in transformers
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
    """Return the text tower of CLIP or MetaCLIP 2, with the tokenizer of the model."""
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
    """Return the TextTower of a text model of pre-norm blocks.

    Args:
        text: the text model, a submodule of the whole model.
        tokenizer: the tokenizer of the model.
        head: maps normed tokens (C, n, E) to the joint space (C, n, D).
        end_positions: maps token ids (C, T) to the index (C,) of the token that is pooled.
        causal: whether tokens attend to earlier tokens only.
    """
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
    """Return the text tower of AltCLIP or Chinese-CLIP; padding is masked as in transformers."""
    text = model.text_model
    config = text.config
    padding = int(config.pad_token_id or 0)
    # In RoBERTa, the first position is the one after the id of the padding token.
    unused = padding + 1 if hasattr(text, "roberta") else 0
    positions = int(config.max_position_embeddings) - unused
    context_length = min(positions, int(getattr(tokenizer, "model_max_length", positions)))

    def encode(token_ids: Tensor) -> Tensor:
        mask = token_ids != padding
        # Columns of padding only take time, so they are cut off.
        length = int(mask.any(dim=0).nonzero().max()) + 1 if mask.any() else 1
        mask, token_ids = mask[:, :length], token_ids[:, :length]
        output = model.get_text_features(token_ids, attention_mask=mask.long())
        features: Tensor = getattr(output, "pooler_output", output)  # a tensor in version 4
        return features

    return opaque_text_tower(
        model,
        encode=encode,
        tokenize=tokenize_with(tokenizer, context_length=context_length),
        context_length=context_length,
        width=int(config.hidden_size),
    )


def read_layer(layer: Any) -> Block:
    """Return one encoder layer of a CLIP or SigLIP tower as a `Block`."""
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
    """Pool as transformers does: at the first end token, or at the highest id in early CLIPs."""
    end_token = int(config.eos_token_id)
    if end_token == _LEGACY_END_TOKEN and config.model_type.startswith("clip"):
        return lambda token_ids: token_ids.argmax(dim=-1)
    return lambda token_ids: (token_ids == end_token).int().argmax(dim=-1)
