"""How far the outputs of an exported image tower are from those of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clip_surgery.errors import UnsupportedModelError
from clip_surgery.export.quantised import INT8_TOLERANCE, Weights
from clip_surgery.export.traced_tower import MIN_PATCHES, ImageTower

TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Largest accepted difference between an entry of a unit-length feature and that of the model."""


def native_patches(tower: ImageTower) -> int:
    """Return the number of patches per side for which the model was trained."""
    side = tower.backbone.image_size // tower.backbone.tower.patch_size
    return max(MIN_PATCHES, side)


def largest_difference(
    tower: ImageTower,
    run: Callable[[Tensor], tuple[Tensor, ...]],
    shapes: Sequence[tuple[int, int, int]],
    weights: Weights,
) -> float:
    """Return the largest difference between an exported tower and the model on noise.

    Outputs whose entries exceed 1, such as queries and keys, are compared relative to the largest.

    Args:
        tower: the tower that was exported.
        run: runs the exported file on pixels (B, 3, H, W).
        shapes: number of images, rows and columns of patches of each input.
        weights: type of the exported weights.

    Raises:
        UnsupportedModelError: if it is larger than rounding in the type of the weights explains.
    """
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for shape in shapes:
        example = tower.example(*shape)
        pixels = torch.rand(example.shape, generator=generator).to(example.device)
        with torch.no_grad():
            expected_outputs = tower(pixels)
        for output, expected in zip(run(pixels), expected_outputs, strict=True):
            scale = expected.abs().max().clamp(min=1.0).cpu()
            difference = ((output.cpu() - expected.cpu()) / scale).abs().max()
            largest = max(largest, float(difference.nan_to_num(torch.inf)))
    if largest > (INT8_TOLERANCE if weights == "int8" else TOLERANCE.get(tower.dtype, 1e-4)):
        raise UnsupportedModelError(
            f"{tower.backbone.name}: the exported tower's features differ from the model's by "
            f"{largest:.1e}; nothing was written."
        )
    return largest
