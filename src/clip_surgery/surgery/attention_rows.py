"""What chosen tokens attend to, in every head of every block, without whole attention matrices.

For a token r, head h and block l, the weight of token i is A[l,h,r,i]. A token with a large weight
can have a small value (an attention sink), so that the length of what it adds,
|A[l,h,r,i] v[l,h,i] W_O[l,h]|, is given beside it (Kobayashi et al., "Attention is Not Only a
Weight", EMNLP 2020, arXiv 2004.10102).

Letters: L blocks, h heads, n chosen tokens, N tokens, E tower width, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.block import run_block
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.frozen_maps import freeze
from clip_surgery.surgery.heads import checked_grid, project_heads

_ROWS = 256  # rows of attention that are held at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionRows:
    """Attention of chosen tokens, as the mean over them.

    Attributes:
        weights: (L, h, N), the share of its attention that each token receives; they sum to 1.
        lengths: (L, h, N), the length of what each token adds to the chosen ones.
        prefix_tokens: number of tokens before the patches.
        grid: rows and columns of the patches.
    """

    weights: Tensor
    lengths: Tensor
    prefix_tokens: int
    grid: PatchGrid


def attention_rows(tower: Tower, pixels: Tensor, *, rows: Tensor) -> AttentionRows:
    """Return what chosen tokens attend to in every head of every block.

    Args:
        tower: the image tower.
        pixels: normalised pixels of one image (1, 3, H, W).
        rows: positions (n,) of the chosen tokens, prefix tokens first; at least one.

    Raises:
        InputError: if the pixels have another shape, or there is no such token.
        UnsupportedModelError: if the tower has no blocks.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> tower = load_backbone("demo").tower
        >>> outputs = attention_rows(tower, torch.zeros(1, 3, 96, 96), rows=torch.tensor([0]))
        >>> outputs.weights.shape, bool(torch.allclose(outputs.weights.sum(-1), torch.ones(8, 2)))
        (torch.Size([8, 2, 145]), True)
    """
    grid = checked_grid(tower, pixels)
    if len(pixels) != 1:
        raise InputError(f"Expected pixels of one image, but got {len(pixels)}.")
    if not tower.blocks:
        raise UnsupportedModelError("The image tower has no blocks whose attention could be read.")
    tower = tower.at(grid)
    tokens = tower.embed(pixels)
    rows = rows.to(tokens.device)
    if not len(rows) or int(rows.min()) < 0 or int(rows.max()) >= tokens.shape[1]:
        raise InputError(
            f"Expected positions of tokens from 0 to {tokens.shape[1] - 1}, "
            f"but got {rows.tolist()[:5]}."
        )
    weights, lengths = [], []
    for block in tower.blocks:
        heads = project_heads(tower, block, tokens, grid)
        value = heads.value[0].float()  # (h, N, d)
        received = torch.zeros_like(value[..., 0])
        added = torch.zeros_like(received)
        for chosen in torch.split(rows, _ROWS):
            logits = heads.query[0, :, chosen] @ heads.key[0].transpose(-2, -1) * heads.scale
            shares = logits.float().softmax(dim=-1)  # (h, n, N)
            attended = (shares @ value).transpose(0, 1).flatten(1)  # (n, E)
            out = freeze(block.attention.project_out, attended.to(tokens.dtype))
            received += shares.sum(dim=1)
            added += torch.einsum("n,hni->hi", out.factors.abs(), shares)
        by_head = out.matrix.view(len(value), -1, out.matrix.shape[1])  # (h, d, E)
        gram = by_head @ by_head.transpose(-2, -1)  # (h, d, d)
        norms = torch.einsum("hid,hde,hie->hi", value, gram, value).clamp_min(0).sqrt()
        weights.append(received / len(rows))
        lengths.append(added / len(rows) * norms)
        tokens = run_block(block, tokens)
    return AttentionRows(
        weights=torch.stack(weights),
        lengths=torch.stack(lengths),
        prefix_tokens=tower.prefix_tokens,
        grid=grid,
    )
