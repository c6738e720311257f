"""From pixels to tokens: patches, class token, positions. The same in every library."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clip_surgery.backbones.positions import PositionMode, interpolate_positions
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def embed_pixels(
    pixels: Tensor,
    *,
    patch_embedding: nn.Conv2d,
    class_embedding: Tensor,
    positions: Tensor,
    native: tuple[int, int],
    mode: PositionMode,
) -> Tensor:
    """Pixels (B, 3, H, W) to tokens (B, 1 + P, E), before the input norm.

    Pixels are converted to the type of the patch embedding, as models whose weights are half
    precision need. `native` is the (height, width) in pixels that the positions were made for.

    Raises:
        InputError: when the pixels are no such batch, or their sides are not whole patches.
            The native size always passes: some models leave a remainder of pixels there.
    """
    patch_size = int(patch_embedding.kernel_size[0])
    if pixels.ndim != 4 or pixels.shape[1] != patch_embedding.in_channels:
        raise InputError(
            f"Expected pixels (B, {patch_embedding.in_channels}, H, W), "
            f"but got shape {tuple(pixels.shape)}."
        )
    height, width = pixels.shape[-2:]
    whole = height % patch_size == 0 and width % patch_size == 0 and min(height, width) > 0
    if not whole and (height, width) != native:
        raise InputError(
            f"Expected pixels in whole patches of {patch_size} px, but got {height} x {width}."
        )
    patches = patch_embedding(pixels.to(patch_embedding.weight.dtype))  # (B, E, rows, columns)
    grid = PatchGrid(rows=patches.shape[-2], columns=patches.shape[-1])
    tokens = patches.flatten(2).transpose(1, 2)
    prefix = class_embedding.to(tokens.dtype).expand(len(tokens), 1, -1)
    native_grid = PatchGrid(rows=native[0] // patch_size, columns=native[1] // patch_size)
    resized = interpolate_positions(positions, native=native_grid, grid=grid, mode=mode)
    return torch.cat([prefix, tokens], dim=1) + resized.to(tokens.dtype)
