"""The towers that tests run on, and what their own libraries compute from an image or a text.

The builders are part of the package, in `clip_surgery.testing`. `TOWERS` is for tests that use a
fixed tower. `TOWER_PARAMS` is for tests of every tower: those of `REPRESENTATIVES` belong to the
quick tests, the others are marked as slow.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from clip_surgery.testing.tiny_backbones import REPRESENTATIVES
from clip_surgery.testing.tiny_backbones import TINY_MODELS as TOWERS
from clip_surgery.testing.tiny_models.hugging_face import tiny_transformers
from clip_surgery.testing.tiny_models.open_clip import SHORT_TEXT as TEXT
from clip_surgery.testing.tiny_models.open_clip import tiny_coca, tiny_resnet
from clip_surgery.testing.tiny_models.timm import (
    SIGLIP_TEXT,
    SMALL,
    shrunk_timm,
    tiny_eva,
    tiny_pe,
    tiny_timm,
    tiny_timm_siglip,
    tiny_vitamin,
)

__all__ = [
    "SIGLIP_TEXT",
    "SMALL",
    "TEXT",
    "TOWERS",
    "TOWER_PARAMS",
    "image_features",
    "quick_or_slow",
    "shrunk_timm",
    "text_features",
    "tiny_coca",
    "tiny_eva",
    "tiny_pe",
    "tiny_resnet",
    "tiny_timm",
    "tiny_timm_siglip",
    "tiny_transformers",
    "tiny_vitamin",
]


def quick_or_slow(name, *values):
    """Test parameters of one tower, marked as slow unless the tower is a representative."""
    marks = () if name in REPRESENTATIVES else pytest.mark.slow
    return pytest.param(*(values or (name,)), id=name, marks=marks)


TOWER_PARAMS = [quick_or_slow(name) for name in TOWERS]


def image_features(model: nn.Module, pixels: Tensor) -> Tensor:
    """The library's own image feature, not normalised."""
    if hasattr(model, "encode_image"):
        return model.encode_image(pixels, normalize=False)
    if type(model).__name__ != "Siglip2Model":
        return model.get_image_features(pixels).pooler_output
    side = model.vision_model.embeddings.patch_size
    rows, columns = pixels.shape[-2] // side, pixels.shape[-1] // side
    patches = pixels.reshape(len(pixels), 3, rows, side, columns, side)
    return model.get_image_features(
        patches.permute(0, 2, 4, 3, 5, 1).reshape(len(pixels), rows * columns, -1),
        pixel_attention_mask=torch.ones(len(pixels), rows * columns, dtype=torch.int64),
        spatial_shapes=torch.tensor([[rows, columns]] * len(pixels)),
    ).pooler_output


def text_features(model: nn.Module, ids: Tensor) -> Tensor:
    """The library's own text feature, not normalised."""
    if hasattr(model, "encode_text"):
        return model.encode_text(ids, normalize=False)
    masked = type(model).__name__ in {"AltCLIPModel", "ChineseCLIPModel"}
    mask = {"attention_mask": (ids != 0).long()} if masked else {}
    return model.get_text_features(ids, **mask).pooler_output
