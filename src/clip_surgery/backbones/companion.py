"""The `Companion`: an image model without texts, such as DINO, that helps a CLIP model.

CLIP knows what is in an image, and a self-supervised model knows which patches belong together.
Methods such as ProxyCLIP take the affinity of patches from such a companion. The companion sees the
same window of the image as the model, with its own normalisation and its own patch size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Companion:
    """An image tower without texts, with the normalisation of its images.

    Attributes:
        name: the name under which the model was loaded, such as "timm:vit_base_patch8_224.dino".
        tower: the image tower. `project` is the final norm, `pool` the class token after it.
        image_mean: mean of each channel (RGB) for pixels in [0, 1]; `normalise` subtracts it.
        image_std: standard deviation of each channel; `normalise` divides by it.
        model: the model itself, which is not changed.

    Raises:
        InputError: if image_mean or image_std is not three finite numbers, or a std is not
            positive.
    """

    name: str
    tower: Tower
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    model: nn.Module

    def __post_init__(self) -> None:
        values = (*self.image_mean, *self.image_std)
        if len(values) != 6 or not all(map(math.isfinite, values)) or min(self.image_std) <= 0:
            raise InputError(
                f"{self.name}: expected image_mean and image_std of three finite numbers, the "
                f"second above 0, but got {self.image_mean} and {self.image_std}."
            )

    def pixels(self, images: Tensor) -> Tensor:
        """Return the input of the companion for the input of another model.

        The images are resized to the nearest whole number of patches of the companion, at least
        one, and normalised as it expects, on its device and in its dtype.

        Args:
            images: (B, 3, H, W) in [0, 1].
        """
        weights = next(self.model.parameters())
        images = images.to(weights.device, torch.float32)
        side = self.tower.patch_size
        size = [max(1, round(length / side)) * side for length in images.shape[-2:]]
        if size != list(images.shape[-2:]):
            images = F.interpolate(
                images, size=size, mode="bilinear", align_corners=False, antialias=True
            )
        mean, std = (
            images.new_tensor(values).view(1, 3, 1, 1)
            for values in (self.image_mean, self.image_std)
        )
        return ((images - mean) / std).to(weights.dtype)
