"""Join the patches of overlapping windows on the grid of the whole image.

Source: Trident (ICCV 2025, arXiv 2411.09219) averages the outputs of windows before they are
compared with texts, and OV-Stitcher the values of the last block, whose attention then spans the
image. Here all blocks but the last run once per window, and the last block once for the image.

Letters: W windows, K prefix tokens, P patches, E tower width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import InputError
from clip_surgery.surgery.companion_features import resample_patches
from clip_surgery.surgery.last_block import enter_last_block
from clip_surgery.surgery.walk import Features
from clip_surgery.surgery.window_layout import Corner, WindowLayout


class StitchedPatches:
    """Weighted means of the patches of windows on the grid of the image.

    Args:
        layout: where the windows are.
    """

    def __init__(self, layout: WindowLayout) -> None:
        self._layout = layout
        self._sums: Tensor | None = None  # (rows, columns, E)
        self._weights: Tensor | None = None

    def add(self, corners: Sequence[Corner], patches: Tensor) -> None:
        """Add the patches (n, P, E) of n windows."""
        layout = self._layout
        weight = layout.weight.to(patches)[..., None]
        if self._sums is None or self._weights is None:
            shape = (layout.whole.rows, layout.whole.columns)
            self._sums = patches.new_zeros(*shape, patches.shape[-1])
            self._weights = patches.new_zeros(*shape, 1)
        maps = patches.unflatten(1, (layout.window.rows, layout.window.columns))  # type: ignore[no-untyped-call]
        for corner, window in zip(corners, maps, strict=True):
            within = layout.within(corner)
            self._sums[within] += weight * window
            self._weights[within] += weight

    def mean(self) -> Tensor:
        """Return the stitched patches (1, P, E) of the image."""
        assert self._sums is not None
        assert self._weights is not None
        return (self._sums / self._weights).flatten(0, 1)[None]


def stitched_features(
    features_of: Callable[[Tensor], Features],
    pixels: Tensor,
    layout: WindowLayout,
    *,
    batch_size: int,
) -> Features:
    """Return the features of an image whose patches are the means over its windows.

    The image feature, and whatever else has one row per image, is the mean of those of the windows,
    each of unit length.

    Args:
        features_of: features of normalised pixels (n, 3, h, w).
        pixels: normalised pixels of the image (1, 3, H, W).
        layout: where the windows are.
        batch_size: number of windows at a time.

    Raises:
        InputError: if the features hold something that cannot be stitched, such as attention.
    """
    stitched: dict[str, StitchedPatches] = {}
    sums: dict[str, Tensor] = {}
    last = None
    for corners in layout.batches(batch_size):
        last = features_of(layout.crops(pixels[0], corners))
        if not last.per_patch:
            raise InputError(
                "Expected a method whose outputs can be stitched, but this method compares all "
                "patches of a window with each other. Use stitch='logits'."
            )
        for name in last.per_image:
            of_windows = normalize(getattr(last, name), dim=-1).sum(dim=0, keepdim=True)
            sums[name] = sums[name] + of_windows if name in sums else of_windows
        for name in last.per_patch:
            patches = resample_patches(getattr(last, name), last.grid, layout.window)
            stitched.setdefault(name, StitchedPatches(layout)).add(corners, patches)
    assert last is not None
    means: dict[str, Any] = {name: patches.mean() for name, patches in stitched.items()}
    means |= {name: total / len(layout.corners) for name, total in sums.items()}
    return replace(last, grid=layout.whole, **means)


def stitched_tower(tower: Tower, pixels: Tensor, layout: WindowLayout, *, batch_size: int) -> Tower:
    """Return a tower of one block, the last one, whose input are the stitched patches of windows.

    Queries, keys and values of the block are those of the windows, averaged where these overlap,
    because the input after its norm is averaged and projections are linear. Prefix tokens are
    averaged over all windows. Whatever pixels it is given, the tower embeds the windows.

    Args:
        tower: the image tower.
        pixels: normalised pixels of the image (1, 3, H, W).
        layout: where the windows are.
        batch_size: number of windows at a time.
    """
    prefix = tower.prefix_tokens
    stitched = StitchedPatches(layout), StitchedPatches(layout)
    sums: list[Tensor] = []
    for corners in layout.batches(batch_size):
        last = enter_last_block(tower, layout.crops(pixels[0], corners))
        normed = last.tower.blocks[-1].norm_attention(last.tokens)
        for whole, tokens in zip(stitched, (last.tokens, normed), strict=True):
            whole.add(corners, tokens[:, prefix:])
        of_prefix = torch.stack([last.tokens[:, :prefix], normed[:, :prefix]]).sum(dim=1)
        sums.append(of_prefix)
    means = torch.stack(sums).sum(dim=0)[:, None] / len(layout.corners)  # (2, 1, K, E)
    whole_tokens, whole_normed = (
        torch.cat([mean, whole.mean()], dim=1) for mean, whole in zip(means, stitched, strict=True)
    )

    def stitched_block(block: Block) -> Block:
        def norm_attention(tokens: Tensor) -> Tensor:
            return whole_normed if tokens is whole_tokens else block.norm_attention(tokens)

        return replace(block, norm_attention=norm_attention)

    blocks_at = tower.blocks_at
    return replace(
        tower,
        embed=lambda _: whole_tokens,
        blocks=(stitched_block(tower.blocks[-1]),),
        blocks_at=None
        if blocks_at is None
        else lambda grid: (stitched_block(blocks_at(grid)[-1]),),
    )
