"""Read a model of open_clip as a `Backbone`.

Only parameters and public submodules are used, no private forward functions. Supported image towers
are the vision transformer of open_clip (OpenAI, LAION, DataComp, MetaCLIP, DFN, CLIPA, CoCa, ...),
its ResNets, and transformers of timm (SigLIP, EVA, PE, ViTamin, ...). Behaviour of training such as
patch dropout is never applied, and the mode of the model is not changed.
"""

from __future__ import annotations

from typing import Any

from open_clip import CLIP, CoCa, CustomTextCLIP
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.fingerprint import Fingerprint
from clip_surgery.backbones.open_clip.resnet import read_resnet
from clip_surgery.backbones.open_clip.text import read_text_tower, text_settings
from clip_surgery.backbones.open_clip.vision import read_vision_transformer
from clip_surgery.backbones.patch_embedding import OPENAI_MEAN, OPENAI_STD
from clip_surgery.backbones.positions import PositionMode, check_position_mode
from clip_surgery.backbones.tokenizers import tokenizer_signature
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
    """Return the Backbone of a model of open_clip; the model is not changed.

    Args:
        model: a `CLIP`, `CustomTextCLIP` or `CoCa`.
        name: name of the model in reports.
        tokenizer: the tokenizer from `open_clip.get_tokenizer`; None for the tokenizer of CLIP.
        image_size: side in pixels of the images given to the model; None for the native size.
        positions: interpolation of position embeddings, "bilinear" or "bicubic".

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
        InputError: if the vocabulary of the model is not that of CLIP and no tokenizer is given.
    """
    check_position_mode(positions)
    if not isinstance(model, CLIP | CustomTextCLIP | CoCa):
        raise UnsupportedModelError(
            "Expected an open_clip CLIP, CustomTextCLIP or CoCa model, "
            f"but got {type(model).__qualname__}."
        )
    visual: Any = model.visual
    tower = _read_tower(visual, positions)
    text_tower = read_text_tower(model, tokenizer)
    preprocessing = _preprocessing(visual)
    return Backbone(
        name=name,
        tower=tower,
        text_tower=text_tower,
        image_size=image_size or _native_size(visual),
        image_mean=tuple(preprocessing.get("mean") or OPENAI_MEAN),
        image_std=tuple(preprocessing.get("std") or OPENAI_STD),
        logit_scale=model.logit_scale.detach().float().exp().item(),
        model=model,
        fingerprint=Fingerprint(
            model,
            skip=("visual.", "logit_"),
            settings=text_settings(model) + tokenizer_signature(text_tower.tokenize),
        ),
    )


def _read_tower(visual: Any, mode: PositionMode) -> Tower:
    if isinstance(visual, VisionTransformer):
        return read_vision_transformer(visual, mode)
    if isinstance(visual, ModifiedResNet):
        return read_resnet(visual, mode)
    if isinstance(visual, TimmModel):
        from clip_surgery.backbones.timm.tower import read_timm

        return read_timm(visual, mode)
    raise UnsupportedModelError(
        "Expected an image tower of open_clip's VisionTransformer, ModifiedResNet or TimmModel, "
        f"but got {type(visual).__qualname__}."
    )


def _preprocessing(visual: Any) -> dict[str, Any]:
    """Mean and standard deviation of pixels: those of open_clip, otherwise those of timm."""
    timm_settings = getattr(getattr(visual, "trunk", None), "default_cfg", {})
    return {"mean": timm_settings.get("mean"), "std": timm_settings.get("std")} | {
        key: value
        for key, value in getattr(visual, "preprocess_cfg", {}).items()
        if key in {"mean", "std"} and value
    }


def _native_size(visual: Any) -> int:
    """The native side in pixels, the shorter one if they differ."""
    size = visual.image_size
    return int(size) if isinstance(size, int) else min(size)
