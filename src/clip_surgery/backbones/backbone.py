"""The `Backbone`: a CLIP model as two towers, with its input size and normalisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clip_surgery.backbones.companion import Companion
from clip_surgery.backbones.tower import TextTower, Tower
from clip_surgery.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Backbone:
    """A CLIP model as two towers, with the size and normalisation of its images.

    Attributes:
        name: the name under which the model was loaded, such as "open_clip:ViT-B-16/openai".
        tower: the image tower.
        text_tower: the text tower.
        image_size: native side of the image in pixels.
        image_mean: mean of each channel (RGB) for pixels in [0, 1]; `normalise` subtracts it.
        image_std: standard deviation of each channel; `normalise` divides by it.
        logit_scale: the factor by which CLIP multiplies cosines before its softmax.
        model: the model itself, which is not changed.
        fingerprint: function that returns a short text. The text changes if anything changes on
            which text features depend: weights of the text tower, pooling or tokenizer.
        nouns: the nouns that the model knows, for models with a small vocabulary (the demo model);
            otherwise empty.
        other_words: words besides the nouns that such a model knows, for example colours.
        companion: an image model without texts, for methods that need one; otherwise None.

    Raises:
        InputError: if image_mean or image_std is not three finite numbers, or a std is not
            positive.
    """

    name: str
    tower: Tower
    text_tower: TextTower
    image_size: int
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    logit_scale: float
    model: nn.Module
    fingerprint: Callable[[], str]
    nouns: tuple[str, ...] = ()
    other_words: tuple[str, ...] = ()
    companion: Companion | None = None

    def __post_init__(self) -> None:
        for name in ("image_mean", "image_std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise InputError(
                    f"{self.name}: expected {name} of three finite numbers, but got {values}."
                )
        if min(self.image_std) <= 0:
            raise InputError(
                f"{self.name}: expected image_std above 0, but got {tuple(self.image_std)}."
            )

    def name_with(self, needs: Collection[str]) -> str:
        """Return the name of the model, with that of its companion if a method needs it.

        Args:
            needs: the parts of a model that the method needs, for example "companion".
        """
        if self.companion is None or "companion" not in needs:
            return self.name
        return f"{self.name} with {self.companion.name}"

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights."""
        return next(self.model.parameters()).dtype

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return pixels normalised as the model expects, on its device and in its dtype.

        Args:
            pixels: (B, 3, H, W) in [0, 1].
        """
        pixels = pixels.to(self.device, torch.float32)
        mean = pixels.new_tensor(self.image_mean).view(1, 3, 1, 1)
        std = pixels.new_tensor(self.image_std).view(1, 3, 1, 1)
        return ((pixels - mean) / std).to(self.dtype)

    def denormalise(self, pixels: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) that `normalise` returned in [0, 1] again, float32 or more."""
        pixels = pixels.float() if pixels.dtype in (torch.float16, torch.bfloat16) else pixels
        mean = pixels.new_tensor(self.image_mean).view(1, 3, 1, 1)
        std = pixels.new_tensor(self.image_std).view(1, 3, 1, 1)
        return pixels * std + mean
