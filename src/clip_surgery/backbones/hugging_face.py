"""transformers' CLIPModel as a Backbone.

Stands on parameters and public submodules, which transformers names alike in versions 4 and 5.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import CLIPModel

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.embedding import OPENAI_MEAN, OPENAI_STD, embed_pixels
from clip_surgery.backbones.fingerprint import Fingerprint
from clip_surgery.backbones.positions import PositionMode, check_position_mode
from clip_surgery.backbones.tokenizing import tokenize_with, tokenizer_mark
from clip_surgery.backbones.tower import Attention, Block, TextTower, TokenMap, Tower
from clip_surgery.errors import UnsupportedModelError

# what transformers once wrote into every CLIP configuration; such models pool the highest id
_LEGACY_END_TOKEN = 2


def read_hugging_face(
    model: nn.Module,
    *,
    name: str,
    tokenizer: Any = None,
    image_size: int | None = None,
    image_mean: tuple[float, float, float] = OPENAI_MEAN,
    image_std: tuple[float, float, float] = OPENAI_STD,
    positions: PositionMode = "bilinear",
) -> Backbone:
    """See a transformers `CLIPModel` as a Backbone; the model is only read.

    `tokenizer` is the model's own; None means CLIP's word pieces. `image_size` overrides the
    native side in pixels that pictures are framed for.

    Raises:
        UnsupportedModelError: for another class of model.
        InputError: when the model's vocabulary needs a tokenizer of its own.
    """
    check_position_mode(positions)
    if not isinstance(model, CLIPModel):
        raise UnsupportedModelError(
            f"Expected a transformers CLIPModel, but got {type(model).__qualname__}."
        )
    text: Any = model.text_model
    if tokenizer is None:
        from clip_surgery.backbones.open_clip_tokenizer import default_tokenizer

        tokenizer = default_tokenizer(
            text.embeddings.token_embedding.num_embeddings,
            text.embeddings.position_embedding.num_embeddings,
        )
    block = text.encoder.layers[0]
    text_tower = _read_text_tower(model, tokenizer)
    return Backbone(
        name=name,
        tower=_read_tower(model, positions),
        text_tower=text_tower,
        image_size=image_size or int(model.vision_model.embeddings.image_size),
        image_mean=image_mean,
        image_std=image_std,
        logit_scale=model.logit_scale.detach().float().exp().item(),
        model=model,
        fingerprint=Fingerprint(
            model,
            skip=("vision_model.", "visual_projection.", "logit_scale"),
            settings=f"{block.self_attn.num_heads} {block} {_end_token(text)} "
            + tokenizer_mark(text_tower.tokenize),
        ),
    )


def _read_tower(model: Any, mode: PositionMode) -> Tower:
    vision = model.vision_model

    def embed(pixels: Tensor) -> Tensor:
        embeddings = vision.embeddings
        tokens = embed_pixels(
            pixels,
            patch_embedding=embeddings.patch_embedding,
            class_embedding=embeddings.class_embedding,
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
        blocks=tuple(_read_block(layer) for layer in vision.encoder.layers),
        project=project,
        pool=pool,
        pool_reads="prefix",
        prefix_tokens=1,
        patch_size=int(vision.embeddings.patch_size),
        width=int(vision.embeddings.class_embedding.shape[0]),
    )


def _read_text_tower(model: Any, tokenizer: Any) -> TextTower:
    text = model.text_model
    embeddings = text.embeddings
    context_length = int(embeddings.position_embedding.num_embeddings)

    def embed(token_ids: Tensor, start: int = 0) -> Tensor:
        positions = embeddings.position_embedding.weight[start : start + token_ids.shape[1]]
        embedded: Tensor = embeddings.token_embedding(token_ids) + positions
        return embedded

    def project(tokens: Tensor) -> Tensor:
        projected: Tensor = model.text_projection(text.final_layer_norm(tokens))
        return projected

    return TextTower(
        tokenize=tokenize_with(tokenizer, context_length=context_length),
        embed=embed,
        blocks=tuple(_read_block(layer) for layer in text.encoder.layers),
        project=project,
        end_positions=_end_positions(_end_token(text)),
        causal=True,
        context_length=context_length,
        width=int(embeddings.token_embedding.embedding_dim),
    )


def _read_block(layer: Any) -> Block:
    attention = layer.self_attn
    projections = {"q": attention.q_proj, "k": attention.k_proj, "v": attention.v_proj}

    def project_in(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        return tuple(projections[part](tokens) for part in parts)

    return Block(
        norm_attention=layer.layer_norm1,
        attention=Attention(
            heads=int(attention.num_heads),
            scale=float(attention.scale),
            project_in=project_in,
            project_out=attention.out_proj,
        ),
        norm_feed_forward=layer.layer_norm2,
        feed_forward=layer.mlp,
    )


def _end_token(text: Any) -> int:
    return int(text.config.eos_token_id)


def _end_positions(end_token: int) -> TokenMap:
    """Pool where transformers does: at the first end token, or the highest id in old models."""
    if end_token == _LEGACY_END_TOKEN:
        return lambda token_ids: token_ids.argmax(dim=-1)
    return lambda token_ids: (token_ids == end_token).int().argmax(dim=-1)
