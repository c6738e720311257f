"""Walks over a tower: CLIP's own forward, and the two paths of CLIP Surgery.

Source: CLIP Surgery (arXiv 2304.05653), architecture surgery. What differs from the released
code: the model is not rewritten but read; one in-projection serves both paths; no attention
matrix is held; in the last block the original path runs on the rows that the image feature
needs. All functions are differentiable and leave the decision about gradients to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import (
    VALUES_ONLY,
    AttentionRule,
    Heads,
    attend,
    join_heads,
    query_key,
    split_heads,
    value_value,
)
from clip_surgery.surgery.outliers import check_repairable, fill_outliers, find_outliers


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """What an image tower says of B images, in the joint space, not normalised.

    Attributes:
        image: the model's own image feature (B, D).
        patches: one feature a patch (B, P, D).
        grid: how the patches lie.
    """

    image: Tensor
    patches: Tensor
    grid: PatchGrid


def walk(tower: Tower, pixels: Tensor) -> Features:
    """CLIP's own forward over pixels (B, 3, H, W): its image feature and its patch features.

    Raises:
        InputError: when pixels are not (B, 3, H, W) with sides of whole patches.

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
) -> Features:
    """Run the original path and, beside it in the last `depth` blocks, a path for the patches.

    The new path z starts as the original path's patches and receives, in each block, the
    attention output of `rule` on the ORIGINAL path's normed tokens; with the defaults this is
    architecture surgery: z <- z + O(A(v, v) v). The image feature is exactly the model's own.

    Args:
        tower: the image tower.
        pixels: (B, 3, H, W), normalised.
        depth: how many of the last blocks have the new path; more than there are means all,
            0 means none (then the patches are CLIP's own).
        rule: what the patches of the new path receive.
        residual: whether the new path adds to itself or is replaced; a block without residual
            (a ResNet's attention pool) always replaces it.
        feed_forward: whether the new path runs the feed-forward too.
        repair_outliers: whether outlier tokens are filled in before the last block, on the new
            path and in the tokens that its rule sees; depth 0 then means CLIP's last block on
            repaired patches.

    Raises:
        InputError: when depth is negative, or pixels are not of whole patches.
        UnsupportedModelError: when outliers are to be repaired and the tower has no class token
            or no second-last block.

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
    # projections that know where each token stands can only be asked about all of them
    few_queries = rule in VALUES_ONLY and not repair_outliers and tower.blocks_at is None
    tower = tower.at(grid)
    prefix, last = tower.prefix_tokens, len(tower.blocks) - 1
    first = max(0, len(tower.blocks) - depth)
    original = tower.embed(pixels)  # (B, N, E)
    new = original[:, prefix:]  # (B, P, E)
    outliers = None

    for index, block in enumerate(tower.blocks):
        if repair_outliers and index == last - 1:
            outliers = find_outliers(project_heads(tower, block, original, grid))
        if index < first:
            original = run_block(block, original)
            new = original[:, prefix:]
            continue
        rows = prefix if index == last and tower.pool_reads == "prefix" else None
        normed = block.norm_attention(original)
        queries = rows if few_queries else None
        heads = seen = project_normed(tower, block, normed, grid, queries=queries)
        if outliers is not None and index == last:
            new = fill_outliers(new, outliers, grid)
            sound = fill_outliers(original[:, prefix:], outliers, grid)
            sound = torch.cat([original[:, :prefix], sound], dim=1)
            seen = project_heads(tower, block, sound, grid)
        out = block.attention.project_out
        # one out-projection for both paths: a (rows + P, E) product instead of two smaller ones
        own = attend(heads.query[:, :, :rows], heads.key, heads.value, scale=heads.scale)
        count = own.shape[2]
        received = out(torch.cat([join_heads(own), join_heads(rule(seen))], dim=1))
        original = block.add_attended(original[:, :rows], received[:, :count])
        original = add_feed_forward(block, original)
        new = block.add_attended(new, received[:, count:]) if residual else received[:, count:]
        if feed_forward:
            new = add_feed_forward(block, new)
    return Features(image=tower.pool(original), patches=tower.project(new), grid=grid)


def with_values_alone(tower: Tower) -> Tower:
    """A tower whose last block takes its values for queries and keys too, for all tokens.

    It is what the released code of CLIP Surgery makes of a ResNet; its image feature is not the
    model's own.
    """
    last = tower.blocks[-1]
    project_in = last.attention.project_in

    def values_alone(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        return project_in(tokens, "v") * len(parts)

    attention = replace(last.attention, project_in=values_alone)
    return replace(tower, blocks=(*tower.blocks[:-1], replace(last, attention=attention)))


def run_block(block: Block, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """One block as the model runs it, tokens (B, N, E) to (B, N, E).

    `mask` is added to the attention logits (N, N), as text towers need.
    """
    attention = block.attention
    query, key, value = (
        split_heads(part, attention.heads)
        for part in attention.project_in(block.norm_attention(tokens), "qkv")
    )
    received = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=attention.scale
    )
    return finish_block(block, tokens, received)


def finish_block(block: Block, tokens: Tensor, received: Tensor) -> Tensor:
    """What is left of a block after attention: tokens (B, n, E), received (B, h, n, d)."""
    attended = block.attention.project_out(join_heads(received))
    return add_feed_forward(block, block.add_attended(tokens, attended))


def add_feed_forward(block: Block, tokens: Tensor) -> Tensor:
    """Tokens plus the block's feed-forward of their norm."""
    return block.add_feed_forward(tokens)


def project_heads(tower: Tower, block: Block, tokens: Tensor, grid: PatchGrid) -> Heads:
    """Query, key and value of a block for tokens (B, N, E)."""
    return project_normed(tower, block, block.norm_attention(tokens), grid)


def project_normed(
    tower: Tower, block: Block, normed: Tensor, grid: PatchGrid, *, queries: int | None = None
) -> Heads:
    """Query, key and value of a block for tokens (B, N, E) that went through its norm.

    `queries` leaves only so many of the first tokens a query.
    """
    project_in = block.attention.project_in
    if queries is None:
        parts = project_in(normed, "qkv")
    else:
        parts = (*project_in(normed[:, :queries], "q"), *project_in(normed, "kv"))
    query, key, value = (split_heads(part, block.attention.heads) for part in parts)
    return Heads(
        query=query,
        key=key,
        value=value,
        normed=normed,
        scale=block.attention.scale,
        prefix_tokens=tower.prefix_tokens,
        grid=grid,
    )


def checked_grid(tower: Tower, pixels: Tensor) -> PatchGrid:
    """The patch grid of pixels, refused when they are no (B, 3, H, W) of whole patches."""
    side = tower.patch_size
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(f"Expected pixels (B, 3, H, W), but got {tuple(pixels.shape)}.")
    if pixels.shape[2] % side or pixels.shape[3] % side or not pixels.shape[0]:
        raise InputError(
            f"Expected at least one image with sides of whole {side} px patches, "
            f"but got {tuple(pixels.shape)}."
        )
    return tower.grid(pixels)
