"""One method on one backbone, with the images and texts that the contracts use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.methods.method import Evidence, Method
from clip_surgery.text.bank import encode_texts
from clip_surgery.text.features import TextFeatures

TEXTS = ("cat", "red bus", "grass")
REFERENCE_WORDS = ("tree", "cup")


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodCase:
    """A method, the backbone it is checked on, and features of three texts.

    Attributes:
        method: the method.
        backbone: the backbone.
        texts: features of `TEXTS` and of `REFERENCE_WORDS`, see `encoded_texts`.
    """

    method: Method
    backbone: Backbone
    texts: TextFeatures

    def pixels(self, rows: int = 4, columns: int = 4, *, batch: int = 2, seed: int = 0) -> Tensor:
        """Return random normalised images of this many patches, (batch, 3, H, W)."""
        side = self.backbone.tower.patch_size
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.randn(batch, 3, rows * side, columns * side, generator=generator)
        return pixels.to(self.backbone.device, self.backbone.dtype)

    def explain(self, pixels: Tensor, texts: TextFeatures | None = None) -> Evidence:
        """Call the method as an `Explainer` does: with gradients only if it needs them.

        Args:
            pixels: normalised images (B, 3, H, W).
            texts: text features; those of the case by default.
        """
        with torch.set_grad_enabled(self.method.needs_gradient):
            return self.method(self.backbone, pixels, self.texts if texts is None else texts)


@torch.no_grad()
def encoded_texts(backbone: Backbone, texts: Sequence[str] = TEXTS) -> TextFeatures:
    """Encode texts for contracts, with two reference words for methods that compare with words."""
    template = ("a photo of a {}.",)
    features = encode_texts(backbone, texts, templates=template, cache=None)
    words = encode_texts(backbone, REFERENCE_WORDS, templates=template, cache=None)
    return TextFeatures(
        texts=features.texts,
        labels=features.labels,
        empty=features.empty,
        reference=words.labels,
    )
