"""open_clip's native CLIP models as a Backbone.

Stands on parameters and public submodules, never on private forwards. Covers every model whose
image tower is `open_clip.transformer.VisionTransformer` (OpenAI, LAION, DataComp, MetaCLIP, DFN,
CLIPA, ...). Training-only behaviour, patch dropout above all, is not applied, whether the model
is in training mode or not; the mode itself is left as it is.
"""

from __future__ import annotations

from typing import Any

from open_clip import CLIP, CustomTextCLIP
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.embedding import OPENAI_MEAN, OPENAI_STD, embed_pixels
from clip_surgery.backbones.fingerprint import Fingerprint
from clip_surgery.backbones.open_clip_blocks import read_block
from clip_surgery.backbones.open_clip_text import read_text_tower, text_settings
from clip_surgery.backbones.positions import PositionMode, check_position_mode
from clip_surgery.backbones.tokenizing import tokenizer_mark
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import UnsupportedModelError


def read_open_clip(
    model: nn.Module,
    *,
    name: str,
    tokenizer: Any = None,
    image_size: int | None = None,
    positions: PositionMode = "bilinear",
) -> Backbone:
    """See an open_clip `CLIP` or `CustomTextCLIP` as a Backbone; the model is only read.

    `tokenizer` is what open_clip.get_tokenizer gives; None means CLIP's own word pieces.
    `image_size` overrides the native side in pixels that pictures are framed for.

    Raises:
        UnsupportedModelError: naming the part that cannot be read.
        InputError: when the model's vocabulary needs a tokenizer of its own.
    """
    check_position_mode(positions)
    if not isinstance(model, CLIP | CustomTextCLIP):
        raise UnsupportedModelError(
            "Expected an open_clip CLIP or CustomTextCLIP model, "
            f"but got {type(model).__qualname__}."
        )
    visual: Any = model.visual
    tower = _read_tower(visual, positions)
    text_tower = read_text_tower(model, tokenizer)
    preprocessing = getattr(visual, "preprocess_cfg", {})
    return Backbone(
        name=name,
        tower=tower,
        text_tower=text_tower,
        image_size=image_size or min(visual.image_size),
        image_mean=tuple(preprocessing.get("mean") or OPENAI_MEAN),
        image_std=tuple(preprocessing.get("std") or OPENAI_STD),
        logit_scale=model.logit_scale.detach().float().exp().item(),
        model=model,
        fingerprint=Fingerprint(
            model,
            skip=("visual.", "logit_"),
            settings=text_settings(model) + tokenizer_mark(text_tower.tokenize),
        ),
    )


def _read_tower(visual: Any, mode: PositionMode) -> Tower:
    _check_visual(visual)

    def embed(pixels: Tensor) -> Tensor:
        tokens = embed_pixels(
            pixels,
            patch_embedding=visual.conv1,
            class_embedding=visual.class_embedding,
            positions=visual.positional_embedding,
            native=tuple(visual.image_size),
            mode=mode,
        )
        normed: Tensor = visual.ln_pre(tokens)
        return normed

    def to_joint(tokens: Tensor) -> Tensor:
        return tokens if visual.proj is None else tokens @ visual.proj

    def project(tokens: Tensor) -> Tensor:
        return to_joint(visual.ln_post(tokens))

    def pool_class(tokens: Tensor) -> Tensor:
        return project(tokens[:, 0])

    def pool_average(tokens: Tensor) -> Tensor:
        if visual.final_ln_after_pool:
            return project(tokens[:, 1:].mean(dim=1))
        return to_joint(visual.ln_post(tokens[:, 1:]).mean(dim=1))

    average = visual.pool_type == "avg"
    return Tower(
        embed=embed,
        blocks=tuple(read_block(block) for block in visual.transformer.resblocks),
        project=project,
        pool=pool_average if average else pool_class,
        pool_reads="all" if average else "prefix",
        prefix_tokens=1,
        patch_size=int(visual.conv1.kernel_size[0]),
        width=int(visual.class_embedding.shape[0]),
    )


def _check_visual(visual: Any) -> None:
    """Refuse what the walk could not reproduce.

    Raises:
        UnsupportedModelError: naming the part.
    """
    if not isinstance(visual, VisionTransformer):
        raise UnsupportedModelError(
            "Expected an image tower of open_clip's VisionTransformer, "
            f"but got {type(visual).__qualname__}."
        )
    if visual.attn_pool is not None:
        raise UnsupportedModelError("The image tower's attentional pooler (attn_pool) is not read.")
    if visual.pool_type not in {"tok", "avg"}:
        raise UnsupportedModelError(
            f"The image tower's pool_type {visual.pool_type!r} is not read."
        )
    if len(set(visual.conv1.kernel_size)) > 1:
        raise UnsupportedModelError(
            f"The image tower's patches {tuple(visual.conv1.kernel_size)} are not square."
        )
