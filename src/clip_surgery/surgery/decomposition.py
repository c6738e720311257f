"""The image feature as an exact sum of contributions of heads, tokens and feed-forward networks.

Source: Gandelsman, Efros, Steinhardt, "Interpreting CLIP's Image Representation via Text-Based
Decomposition" (ICLR 2024, arXiv 2310.05916). A residual tower sums what its blocks add to a token,

    x_r = embedding_r + sum over l of (sum over h, i of A[l,h,r,i] v[l,h,i] W_O[l,h] + b_O[l]
          + feed_forward[l,r]),

and the image feature is a linear map of the last tokens (see `frozen_pool`). Differences from the
paper: towers that are pooled by the mean over patches or by attention are included, and what
belongs to no part (the biases b_O and those of norms and projections) is one term, `rest`, instead
of being spread over the others. Each token keeps its own statistics. A norm before the
out-projection of attention (EVA) is kept in the same way. Every sum is compared with the model's
own output, and towers of other kinds are refused.

Letters: L blocks, h heads, N tokens (K prefix tokens, then P patches), E tower width, d head width,
D joint width, G matrices of the pool, C texts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.backbones.block import join_heads
from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import Heads, attend
from clip_surgery.surgery.decomposed_feature import DecomposedFeature
from clip_surgery.surgery.frozen_maps import FrozenMap, freeze
from clip_surgery.surgery.frozen_pool import freeze_pool
from clip_surgery.surgery.heads import checked_grid, project_heads

_ROWS = 256  # tokens whose attention is held at a time


def decompose_image(tower: Tower, pixels: Tensor) -> DecomposedFeature:
    """Return the contributions of all parts of a tower to the feature of one image.

    Args:
        tower: the image tower.
        pixels: normalised pixels (1, 3, H, W); H and W are multiples of the patch size.

    Raises:
        InputError: if the pixels have another shape.
        UnsupportedModelError: if the image feature is not such a sum: an unknown pool, a
            feed-forward network after the pool of a class token, or an out-projection that is no
            affine map.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> parts = decompose_image(load_backbone("demo").tower, torch.zeros(1, 3, 96, 96))
        >>> parts.heads.shape[:2], bool(torch.allclose(parts.total(), parts.image, atol=1e-5))
        (torch.Size([8, 2]), True)
    """
    grid = checked_grid(tower, pixels)
    if len(pixels) != 1:
        raise InputError(f"Expected pixels of one image, but got {len(pixels)}.")
    if not tower.blocks:
        raise UnsupportedModelError("The image tower has no blocks whose parts could be read.")
    if any(not block.residual for block in tower.blocks[1:]):
        raise UnsupportedModelError(
            "A later block of this tower has no residual connection, so that the image feature is "
            "no sum over blocks."
        )
    tower = tower.at(grid)
    entries = [tower.embed(pixels)]  # the input tokens (1, N, E) of each block, then the output
    steps = []
    for block in tower.blocks:
        attended, tokens = _run_attention(tower, block, entries[-1], grid)
        entries.append(block.add_feed_forward(tokens))
        steps.append((attended, entries[-1] - tokens))
    pool = freeze_pool(tower, entries[-1])
    rows = pool.weights.abs().sum(dim=0).nonzero()[:, 0]
    rest = pool.rest.clone()
    totals, values, weights, outs = [], [], [], []
    for block, entry, (attended, _) in zip(tower.blocks, entries, steps, strict=False):
        out = _out_projection(block, attended[0, rows])
        heads = project_heads(tower, block, entry, grid)
        width = len(out.matrix) // block.attention.heads
        by_head = out.matrix.view(block.attention.heads, width, -1)  # (h, d, E)
        mixed = _read_weights(heads, rows, pool.weights[:, rows] * out.factors)  # (h, G, N)
        head_values = heads.value[0].float()  # (h, N, d)
        read = torch.einsum("hgd,hde->hge", mixed @ head_values, by_head)
        totals.append(torch.einsum("hge,gej->hj", read, pool.matrices))
        values.append(head_values)
        weights.append(mixed)
        outs.append(by_head)
        rest = rest + pool.project(out.bias.expand(entry.shape[1], -1))
    embedding = entries[0][0] if tower.blocks[0].residual else torch.zeros_like(entries[0][0])
    return DecomposedFeature(
        image=pool.image,
        embedding=pool.project(embedding),
        heads=torch.stack(totals),
        feed_forward=torch.stack([pool.project(added[0]) for _, added in steps]),
        pool=pool.feed_forward,
        rest=rest,
        values=torch.stack(values),
        weights=torch.stack(weights),
        out=torch.stack(outs),
        to_joint=pool.matrices,
        grid=grid,
    )


def _run_attention(
    tower: Tower, block: Block, tokens: Tensor, grid: PatchGrid
) -> tuple[Tensor, Tensor]:
    """Return the attended values (1, N, E) and the tokens (1, N, E) after attention."""
    heads = project_heads(tower, block, tokens, grid)
    attended = join_heads(attend(heads.query, heads.key, heads.value, scale=heads.scale))
    return attended, block.add_attended(tokens, block.attention.project_out(attended))


def _out_projection(block: Block, attended: Tensor) -> FrozenMap:
    """Return the out-projection of a block for attended values (n, E).

    The factor differs between tokens if a norm precedes the out-projection, as in EVA.

    Raises:
        UnsupportedModelError: if the out-projection is no affine map, with or without such a norm.
    """
    frozen = freeze(block.attention.project_out, attended)
    if not frozen.exact:
        raise UnsupportedModelError(
            "The out-projection of this tower's attention is no affine map, so that the output of "
            "attention is no sum over heads."
        )
    return frozen


def _read_weights(heads: Heads, rows: Tensor, weights: Tensor) -> Tensor:
    """Return how much of the value of each token is read, (h, G, N): sum over r of w_gr A_ri.

    Args:
        heads: query, key and value of a block for one image.
        rows: positions (n,) of the tokens r that the image feature reads.
        weights: their weights w (G, n).
    """
    mixed = weights.new_zeros(heads.key.shape[1], len(weights), heads.key.shape[2])
    for chosen, part in zip(
        torch.split(rows, _ROWS), torch.split(weights, _ROWS, dim=1), strict=True
    ):
        logits = heads.query[0, :, chosen] @ heads.key[0].transpose(-2, -1) * heads.scale
        mixed += part @ logits.float().softmax(dim=-1)  # (h, n, N)
    return mixed
