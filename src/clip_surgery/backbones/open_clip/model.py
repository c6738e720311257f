"""open_clip's models as a Backbone.

Stands on parameters and public submodules, never on private forwards. Image towers: open_clip's
own vision transformer (OpenAI, LAION, DataComp, MetaCLIP, DFN, CLIPA, CoCa, ...), its ResNets, and
the transformers of timm (SigLIP, EVA, PE, ViTamin, ...). Training-only behaviour, patch dropout
above all, is not applied, whether the model is in training mode or not; the mode itself is left as
it is.
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
from clip_surgery.backbones.tokenizers import tokenizer_mark
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
    """See an open_clip `CLIP`, `CustomTextCLIP` or `CoCa` as a Backbone; the model is only read.

    `tokenizer` is what open_clip.get_tokenizer gives; None means CLIP's own word pieces.
    `image_size` overrides the native side in pixels that images are framed for.

    Raises:
        UnsupportedModelError: naming the part that cannot be read.
        InputError: when the model's vocabulary needs a tokenizer of its own.
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
            settings=text_settings(model) + tokenizer_mark(text_tower.tokenize),
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
    """What images must look like: open_clip's record, else timm's own, else OpenAI's."""
    own = getattr(getattr(visual, "trunk", None), "default_cfg", {})
    return {"mean": own.get("mean"), "std": own.get("std")} | {
        key: value
        for key, value in getattr(visual, "preprocess_cfg", {}).items()
        if key in {"mean", "std"} and value
    }


def _native_size(visual: Any) -> int:
    """The side in pixels, the shorter one where they differ."""
    size = visual.image_size
    return int(size) if isinstance(size, int) else min(size)
