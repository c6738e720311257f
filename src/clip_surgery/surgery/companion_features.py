"""What methods read of a companion: its patches, and the heads of its last block.

Letters: B images, P patches of the companion, E its width, h its heads, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.companion import Companion
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import Heads
from clip_surgery.surgery.last_block import without_prefix
from clip_surgery.surgery.trace import block_heads
from clip_surgery.surgery.walk import walk


@dataclass(frozen=True, kw_only=True, eq=False)
class CompanionPatches:
    """Patches of a companion after its final norm.

    Attributes:
        patches: (B, P, E), on the device of the model that the companion helps.
        grid: rows and columns of the patches.
    """

    patches: Tensor
    grid: PatchGrid


def companion_patches(backbone: Backbone, pixels: Tensor) -> CompanionPatches:
    """Return the patches of the companion of a model for the model's own input.

    Args:
        backbone: a model with a companion.
        pixels: pixels normalised for the model (B, 3, H, W).

    Raises:
        UnsupportedModelError: if the model has no companion.
    """
    companion = _companion_of(backbone)
    features = walk(companion.tower, companion.pixels(backbone.denormalise(pixels)))
    return CompanionPatches(patches=features.patches.to(pixels.device), grid=features.grid)


def companion_heads(backbone: Backbone, pixels: Tensor) -> Heads:
    """Return query, key and value of the companion's last block, for patches alone.

    Args:
        backbone: a model with a companion.
        pixels: pixels normalised for the model (B, 3, H, W).

    Raises:
        UnsupportedModelError: if the model has no companion, or this has no blocks.
    """
    companion = _companion_of(backbone)
    tower = companion.tower
    inputs = companion.pixels(backbone.denormalise(pixels))
    return without_prefix(block_heads(tower, inputs, block=len(tower.blocks) - 1))


def resample_patches(patches: Tensor, grid: PatchGrid, target: PatchGrid) -> Tensor:
    """Return patches (B, P, E) of one grid, interpolated bilinearly to another grid."""
    if grid == target:
        return patches
    maps = grid.to_map(patches.transpose(1, 2))  # (B, E, rows, columns)
    size = [target.rows, target.columns]
    resized = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)
    return resized.flatten(2).transpose(1, 2).to(patches.dtype)


def _companion_of(backbone: Backbone) -> Companion:
    if backbone.companion is None:
        raise UnsupportedModelError(f"{backbone.name}: expected a companion, but there is none.")
    return backbone.companion
