"""The image feature as an exact sum of contributions of heads, tokens and feed-forward networks.

Source: Gandelsman, Efros, Steinhardt, "Interpreting CLIP's Image Representation via Text-Based
Decomposition" (ICLR 2024, arXiv 2310.05916). A residual tower sums what its blocks add to a token,

    x_r = embedding_r + sum over l of (sum over h, i of A[l,h,r,i] v[l,h,i] W_O[l,h] + b_O[l]
          + feed_forward[l,r]),

and the map to the joint space is linear if the statistics of the final norm are kept at their
values for x. Differences from the paper: towers that are pooled by the mean over patches are
included, and what belongs to no part (the biases b_O and those of the final norm and projection) is
one term, `rest`, instead of being spread over the others. Each token keeps its own statistics.

The linear part needs no knowledge of the norm. For long vectors, the output of a norm depends on
their direction only, so that the outputs for the unit vectors are the rows of a matrix M, up to one
factor; the factor of a token follows from its own output. The same holds for a norm before the
out-projection of attention (EVA). Every sum is compared with the model's own output, and towers of
other kinds are refused.

Letters: L blocks, h heads, N tokens (K prefix tokens, then P patches), E tower width, d head width,
D joint width, C texts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.backbones.block import join_heads
from clip_surgery.backbones.tower import Block, TokenMap, Tower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import attend
from clip_surgery.surgery.decomposed_feature import DecomposedFeature
from clip_surgery.surgery.heads import checked_grid, project_heads

_LONG = 1e4  # length at which the constant that norms add to the variance has no effect


def decompose_image(tower: Tower, pixels: Tensor) -> DecomposedFeature:
    """Return the contributions of all parts of a tower to the feature of one image.

    Args:
        tower: the image tower, pooled by its class token or by the mean over patches.
        pixels: normalised pixels (1, 3, H, W); H and W are multiples of the patch size.

    Raises:
        InputError: if the pixels have another shape.
        UnsupportedModelError: if the image feature is not such a sum: attention pools, feed-forward
            networks in the head, or an out-projection that is no affine map.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> parts = decompose_image(load_backbone("demo").tower, torch.zeros(1, 3, 96, 96))
        >>> parts.heads.shape[:2], bool(torch.allclose(parts.total(), parts.image, atol=1e-5))
        (torch.Size([8, 2]), True)
    """
    grid = checked_grid(tower, pixels)
    if len(pixels) != 1:
        raise InputError(f"Expected pixels of one image, but got {len(pixels)}.")
    if not tower.blocks or tower.attention_pool:
        raise UnsupportedModelError(
            "The image feature of this tower comes from an attention pool without residual "
            "connection, so that it is no sum over blocks."
        )
    tower = tower.at(grid)
    entries = [tower.embed(pixels)]  # the input tokens (1, N, E) of each block, then the output
    steps = []
    for block in tower.blocks:
        attended, tokens = _run_attention(tower, block, entries[-1], grid)
        entries.append(block.add_feed_forward(tokens))
        steps.append((attended, entries[-1] - tokens))
    matrix, bias = _linear_part(tower.project, tower.width, entries[0])
    weights = _token_weights(tower, entries[-1], matrix, bias)  # (N,)
    rows = weights.nonzero()[:, 0]
    rest = bias.clone()
    heads, values, matrices = [], [], []
    for block, entry, (attended, _) in zip(tower.blocks, entries, steps, strict=False):
        out, out_bias, factors = _out_projection(block, attended[0, rows])
        head_values = _weighted_values(tower, block, entry, grid, rows, weights[rows] * factors)
        to_joint = (out @ matrix).view(block.attention.heads, -1, matrix.shape[1])  # (h, d, D)
        heads.append(torch.einsum("hd,hdj->hj", head_values.sum(dim=1), to_joint))
        values.append(head_values)
        matrices.append(to_joint)
        rest = rest + weights.sum() * (out_bias @ matrix)
    return DecomposedFeature(
        image=tower.pool(entries[-1])[0].float(),
        embedding=weights @ entries[0][0].float() @ matrix,
        heads=torch.stack(heads),
        feed_forward=torch.stack([weights @ added[0].float() @ matrix for _, added in steps]),
        rest=rest,
        values=torch.stack(values),
        to_joint=torch.stack(matrices),
        grid=grid,
    )


def _run_attention(
    tower: Tower, block: Block, tokens: Tensor, grid: PatchGrid
) -> tuple[Tensor, Tensor]:
    """Return the attended values (1, N, E) and the tokens (1, N, E) after attention."""
    heads = project_heads(tower, block, tokens, grid)
    attended = join_heads(attend(heads.query, heads.key, heads.value, scale=heads.scale))
    return attended, block.add_attended(tokens, block.attention.project_out(attended))


def _linear_part(project: TokenMap, width: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the matrix M (E, D) of the map to the joint space up to a factor, and its bias (D,).

    Args:
        project: the map to the joint space, a norm and an affine map.
        width: E.
        tokens: any tensor of the tower, for device and dtype.
    """
    unit = torch.eye(width, device=tokens.device, dtype=tokens.dtype)
    projected = project(torch.cat([torch.zeros_like(unit[:1]), _LONG * unit])[None])[0].float()
    return projected[1:] - projected[0], projected[0]


def _token_weights(tower: Tower, tokens: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Return weights w (N,) with which the image feature is (sum over r of w_r x_r) M + bias.

    Args:
        tower: the image tower.
        tokens: the output tokens of the last block (1, N, E).
        matrix: M (E, D).
        bias: the bias (D,).

    Raises:
        UnsupportedModelError: if the feature is no such sum.
    """
    pooled, prefix = tower.pool(tokens)[0].float(), tower.prefix_tokens
    tolerance = _tolerance(tokens)
    every = tower.project(tokens)[0].float()
    mean = tokens[:, prefix:].mean(dim=1)
    weights = torch.zeros(tokens.shape[1], device=tokens.device)
    patches = tokens.shape[1] - prefix
    if prefix and _close(every[0], pooled, tolerance):
        weights[:1] = _factors(tokens[0, :1], every[:1], matrix, bias)
    elif _close(every[prefix:].mean(dim=0), pooled, tolerance):
        weights[prefix:] = _factors(tokens[0, prefix:], every[prefix:], matrix, bias) / patches
    elif _close(tower.project(mean[:, None])[0, 0].float(), pooled, tolerance):
        weights[prefix:] = _factors(mean, pooled[None], matrix, bias) / patches
    else:
        raise UnsupportedModelError(
            "The image feature of this tower is pooled neither by a class token nor by the mean "
            "over patches, for example by attention of a learnt query: it is no sum over tokens."
        )
    summed = (weights @ tokens[0].float()) @ matrix + bias
    if not _close(summed, pooled, tolerance):
        raise UnsupportedModelError(
            "The map from the last tokens to the image feature is not a norm and an affine map, so "
            "that the feature is no sum of the contributions of the blocks."
        )
    return weights


def _factors(tokens: Tensor, features: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Return the factor (n,) of each token for which factor * token M is its feature - bias."""
    linear = tokens.float() @ matrix
    squares = linear.square().sum(dim=-1)
    return (linear * (features - bias)).sum(dim=-1) / squares.clamp_min(1e-30)


def _out_projection(block: Block, attended: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrix (E, E) of an out-projection, its bias (E,) and a factor per token (n,).

    For an attended value a, the output is factor * a @ matrix + bias. The factor differs between
    tokens if a norm precedes the out-projection, as in EVA.

    Args:
        block: the block.
        attended: attended values (n, E) of the tokens that the image feature reads.

    Raises:
        UnsupportedModelError: if the out-projection is no affine map, with or without such a norm.
    """
    project = block.attention.project_out
    matrix, bias = _linear_part(project, attended.shape[-1], attended)
    expected = project(attended[None])[0].float()
    factors = _factors(attended, expected, matrix, bias)
    output = factors[:, None] * (attended.float() @ matrix) + bias
    if not _close(output, expected, _tolerance(attended)):
        raise UnsupportedModelError(
            "The out-projection of this tower's attention is no affine map, so that the output of "
            "attention is no sum over heads."
        )
    return matrix, bias, factors


def _weighted_values(
    tower: Tower, block: Block, tokens: Tensor, grid: PatchGrid, rows: Tensor, weights: Tensor
) -> Tensor:
    """Return for each head and token i the value v_i times (sum over r of w_r A_ri), (h, N, d).

    Args:
        tower: the image tower.
        block: the block.
        tokens: its input tokens (1, N, E).
        grid: rows and columns of the patches.
        rows: positions (n,) of the tokens r that the image feature reads.
        weights: their weights w (n,).
    """
    heads = project_heads(tower, block, tokens, grid)
    logits = heads.query[0, :, rows] @ heads.key[0].transpose(-2, -1) * heads.scale  # (h, n, N)
    attention = torch.einsum("r,hri->hi", weights, logits.float().softmax(dim=-1))
    return attention[..., None] * heads.value[0].float()


def _tolerance(tokens: Tensor) -> float:
    """Return the largest rounding error of a sum, as a fraction of its length."""
    return 1e-4 if tokens.dtype in {torch.float32, torch.float64} else 3e-2


def _close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    """Whether two tensors differ by at most a fraction of the length of the second."""
    return bool((first - second).norm() <= tolerance * second.norm().clamp_min(1e-12))
