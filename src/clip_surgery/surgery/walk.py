"""Run an image tower: the model's own forward pass, and the two paths of CLIP Surgery.

Source: architecture surgery of CLIP Surgery (arXiv 2304.05653). Differences from the released code:
the model is not modified; both paths share one in-projection; attention matrices are never stored;
in the last block the original path runs only on the tokens that the image feature depends on. All
functions are differentiable. The decision about gradients is left to the caller.

Letters: B images, K prefix tokens (class token and registers), P patches, N = K + P tokens,
E tower width, h heads, d head width, D joint width.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from clip_surgery.backbones.block import join_heads, run_block
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import (
    VALUES_ONLY,
    AttentionRule,
    attend,
    query_key,
    value_value,
)
from clip_surgery.surgery.heads import checked_grid, project_heads, project_normed
from clip_surgery.surgery.outliers import check_repairable, fill_outliers, find_outliers
from clip_surgery.surgery.watch import NOTHING, Recorder, Watch


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features of B images in the joint space of images and texts, not normalised.

    Attributes:
        image: the model's own image feature (B, D).
        patches: one feature per patch (B, P, D), in row-major order of the grid.
        grid: rows and columns of the patches.
        per_patch: names of the tensors with one row per patch, which windows of a large image can
            average; empty if patches of one window are compared with each other.
        per_image: names of the tensors with one row per image.
    """

    per_image: ClassVar[tuple[str, ...]] = ("image",)
    per_patch: ClassVar[tuple[str, ...]] = ("patches",)

    image: Tensor
    patches: Tensor
    grid: PatchGrid

    def of_image(self, index: int) -> Self:
        """Return the features of one image, a batch of 1."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        rows: dict[str, Any] = {
            name: value[index : index + 1]
            for name, value in values.items()
            if isinstance(value, Tensor)
        }
        return replace(self, **rows)


def walk(tower: Tower, pixels: Tensor) -> Features:
    """Run the model's own forward pass and return its image feature and patch features.

    Args:
        tower: the image tower.
        pixels: normalised pixels (B, 3, H, W); H and W are multiples of the patch size.

    Raises:
        InputError: if the pixels have another shape.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> backbone = load_backbone("demo")
        >>> walk(backbone.tower, torch.zeros(1, 3, 96, 96)).patches.shape[:2]
        torch.Size([1, 144])
    """
    grid = checked_grid(tower, pixels)
    tower = tower.at(grid)
    tokens = tower.embed(pixels)  # (B, N, E)
    for block in tower.blocks:
        tokens = run_block(block, tokens)
    return Features(
        image=tower.pool(tokens),
        patches=tower.project(tokens[:, tower.prefix_tokens :]),
        grid=grid,
    )


def walk_two_paths(
    tower: Tower,
    pixels: Tensor,
    *,
    depth: int = 6,
    rule: AttentionRule = value_value,
    residual: bool = True,
    feed_forward: bool = False,
    repair_outliers: bool = False,
    watch: Watch = NOTHING,
) -> Features:
    """Run the original path and, in the last `depth` blocks, a second path for the patches.

    With x the tokens of the original path, O the out-projection and v the values of norm(x), the
    second path z starts as the patches of x. With the default settings each block computes

        z <- z + O(softmax(scale v v^T) v)

    which is the architecture surgery of the paper. The second path never feeds back into the
    original one, so the image feature is exactly the model's own.

    Args:
        tower: the image tower.
        pixels: normalised pixels (B, 3, H, W); H and W are multiples of the patch size.
        depth: number of last blocks with a second path. If it exceeds the number of blocks, all
            blocks have one. 0 returns the model's own patch features.
        rule: the attention of the second path; it reads query, key and value of the original path.
        residual: whether the attention output is added to the second path or replaces it. A block
            without residual connection (the attention pool of a ResNet) always replaces it.
        feed_forward: whether the second path runs the feed-forward too.
        repair_outliers: whether outlier tokens are replaced by the mean of their neighbours before
            the last block, in the second path and in the tokens that its rule reads. With depth 0
            the last block then runs as in the model, on repaired patches.
        watch: tokens and heads of the original path that are kept for the rule, which finds those
            of the blocks before it in `Heads.seen`. Nothing is kept by default.

    Raises:
        InputError: if depth is negative or the pixels have another shape.
        UnsupportedModelError: if outliers are to be repaired, and the tower has no class token or
            fewer than two blocks.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> backbone = load_backbone("demo")
        >>> features = walk_two_paths(backbone.tower, torch.zeros(1, 3, 96, 128))
        >>> features.grid
        PatchGrid(rows=12, columns=16)
    """
    if depth < 0:
        raise InputError(f"Expected depth to be 0 or more blocks, but got {depth}.")
    if repair_outliers:
        check_repairable(tower)
        if depth == 0:
            depth, rule, residual, feed_forward = 1, query_key, True, True
    if depth == 0:
        return walk(tower, pixels)
    grid = checked_grid(tower, pixels)
    # A rule that reads values only needs no queries of patches. Rotary projections depend on the
    # position of every token, so they are computed for all tokens at once.
    prefix_queries_suffice = (
        rule in VALUES_ONLY and not repair_outliers and not watch.heads and tower.blocks_at is None
    )
    tower = tower.at(grid)
    prefix, last = tower.prefix_tokens, len(tower.blocks) - 1
    first = max(0, len(tower.blocks) - depth)
    original = tower.embed(pixels)  # (B, N, E)
    patches = original[:, prefix:]  # (B, P, E), the second path
    outliers = None
    recorder = Recorder(tower, grid, watch, original)

    for index, block in enumerate(tower.blocks):
        if repair_outliers and index == last - 1:
            outliers = find_outliers(project_heads(tower, block, original, grid))
        if index < first:
            original = recorder.run(index + 1, block, original)
            patches = original[:, prefix:]
            continue
        rows = prefix if index == last and tower.pool_reads == "prefix" else None
        normed = block.norm_attention(original)
        queries = rows if prefix_queries_suffice else None
        heads = rule_heads = project_normed(tower, block, normed, grid, queries=queries)
        if outliers is not None and index == last:
            patches = fill_outliers(patches, outliers, grid)
            repaired = fill_outliers(original[:, prefix:], outliers, grid)
            repaired = torch.cat([original[:, :prefix], repaired], dim=1)
            rule_heads = project_heads(tower, block, repaired, grid)
        recorder.keep_heads(index + 1, heads)
        rule_heads = replace(rule_heads, seen=recorder.seen)
        attended = attend(heads.query[:, :, :rows], heads.key, heads.value, scale=heads.scale)
        count = attended.shape[2]  # tokens of the original path
        # One out-projection of (count + P, E) for both paths is faster than two smaller ones.
        projected = block.attention.project_out(
            torch.cat([join_heads(attended), join_heads(rule(rule_heads))], dim=1)
        )
        original = block.add_attended(original[:, :rows], projected[:, :count])
        original = block.add_feed_forward(original)
        recorder.keep_tokens(index + 1, original)
        patch_output = projected[:, count:]
        patches = block.add_attended(patches, patch_output) if residual else patch_output
        if feed_forward:
            patches = block.add_feed_forward(patches)
    return Features(image=tower.pool(original), patches=tower.project(patches), grid=grid)


def with_values_alone(tower: Tower) -> Tower:
    """Return the tower with a last block whose queries and keys are its values, for all tokens.

    The released code of CLIP Surgery changes a ResNet in this way. The image feature of the
    returned tower is not the model's own.
    """
    last = tower.blocks[-1]
    project_in = last.attention.project_in

    def values_alone(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        return project_in(tokens, "v") * len(parts)

    attention = replace(last.attention, project_in=values_alone)
    return replace(tower, blocks=(*tower.blocks[:-1], replace(last, attention=attention)))
