"""Map pixels to tokens: patch embedding, prefix tokens and position embeddings.

This step is the same in all supported libraries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.backbones.positions import PositionMode, interpolate_positions
from clip_surgery.backbones.tower import TokenMap
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
SIGLIP_MEAN = SIGLIP_STD = (0.5, 0.5, 0.5)


def embed_pixels(
    pixels: Tensor,
    *,
    to_patches: TokenMap,
    patch_size: int,
    dtype: torch.dtype,
    prefix: Tensor | None,
    positions: Tensor | None,
    native: tuple[int, int],
    mode: PositionMode,
    antialias: bool | None = None,
    patch_positions_only: bool = False,
) -> Tensor:
    """Return the tokens (B, K + P, E) of pixels, before the input norm.

    Args:
        pixels: normalised pixels (B, 3, H, W); H and W are multiples of the patch size.
        to_patches: maps pixels to patch features (B, E, rows, columns).
        patch_size: side of a patch in pixels.
        dtype: type of the weights of `to_patches`, to which pixels are converted.
        prefix: the K tokens before the patches (K, E), or None if there are none.
        positions: position embeddings (K + P, E) for the native grid, or None if there are none.
        native: native (height, width) in pixels, for which the positions were trained.
        mode: interpolation of the positions for other grids.
        antialias: whether the interpolation is antialiased; see `interpolate_positions`.
        patch_positions_only: whether `positions` (P, E) has no entries for the prefix tokens.

    Raises:
        InputError: if the pixels are not (B, 3, H, W), or if a side is not a multiple of the patch
            size. The native size is always accepted, because it is not a multiple in some models.
    """
    check_pixels(pixels, patch_size=patch_size, native=native)
    patches = to_patches(pixels.to(dtype))  # (B, E, rows, columns)
    grid = PatchGrid(rows=patches.shape[-2], columns=patches.shape[-1])
    tokens = patches.flatten(2).transpose(1, 2)
    if prefix is None:
        prefix = tokens.new_zeros(0, tokens.shape[-1])
    prefix_tokens = prefix.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
    if positions is None:
        return torch.cat([prefix_tokens, tokens], dim=1)
    resized = interpolate_positions(
        positions,
        native=PatchGrid(rows=native[0] // patch_size, columns=native[1] // patch_size),
        grid=grid,
        prefix_tokens=0 if patch_positions_only else len(prefix),
        mode=mode,
        antialias=antialias,
    ).to(tokens.dtype)
    if patch_positions_only:
        return torch.cat([prefix_tokens, tokens + resized], dim=1)
    return torch.cat([prefix_tokens, tokens], dim=1) + resized


def check_pixels(pixels: Tensor, *, patch_size: int, native: tuple[int, int]) -> None:
    """Check that pixels are a batch of images whose sides are multiples of the patch size.

    Args:
        pixels: the tensor to check, expected to be (B, 3, H, W).
        patch_size: side of a patch in pixels.
        native: native (height, width) in pixels, which is always accepted.

    Raises:
        InputError: if the shape or the size is different.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(f"Expected pixels (B, 3, H, W), but got shape {tuple(pixels.shape)}.")
    height, width = pixels.shape[-2:]
    fits = height % patch_size == 0 and width % patch_size == 0 and min(height, width) > 0
    if not fits and (height, width) != native:
        raise InputError(
            f"Expected pixels in whole patches of {patch_size} px, but got {height} x {width}."
        )
