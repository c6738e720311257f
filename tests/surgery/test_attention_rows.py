"""Attention of single tokens, compared with torch's own attention and with a plain loop."""

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError
from clip_surgery.surgery.attention_rows import attention_rows
from tests.towers import tiny_open_clip
from tests.zoo import TOWER_PARAMS, TOWERS


@torch.no_grad()
def test_weights_and_lengths_written_out():
    model = tiny_open_clip(seed=0)
    tower, pixels = wrap_backbone(model).tower, torch.randn(1, 3, 32, 32)
    rows = torch.tensor([0, 3])
    found = attention_rows(tower, pixels, rows=rows)
    tokens = tower.embed(pixels)
    for index, block in enumerate(model.visual.transformer.resblocks):
        normed, attention = block.ln_1(tokens), block.attn
        _, own = attention(
            normed, normed, normed, need_weights=True, average_attn_weights=False
        )  # (1, h, N, N)
        torch.testing.assert_close(found.weights[index], own[0, :, rows].mean(1), atol=1e-6, rtol=0)
        value = normed[0] @ attention.in_proj_weight.chunk(3)[2].T
        value = value + attention.in_proj_bias.chunk(3)[2]
        side = tower.width // attention.num_heads
        for head in range(attention.num_heads):
            span = slice(head * side, (head + 1) * side)
            out = attention.out_proj.weight[:, span].T
            for token in range(tokens.shape[1]):
                added = [(own[0, head, row, token] * value[token, span]) @ out for row in rows]
                expected = sum(float(one.norm()) for one in added) / len(rows)
                length = float(found.lengths[index, head, token])
                assert length == pytest.approx(expected, abs=1e-5)
        tokens = block(tokens)


@pytest.mark.parametrize("name", TOWER_PARAMS)
@torch.no_grad()
def test_weights_of_all_towers_sum_to_one(name):
    tower = wrap_backbone(TOWERS[name](seed=0)).tower
    side = 4 * tower.patch_size
    found = attention_rows(tower, torch.randn(1, 3, side, side), rows=torch.tensor([1]))
    torch.testing.assert_close(
        found.weights.sum(-1), torch.ones(found.weights.shape[:2]), atol=1e-5, rtol=0
    )
    assert found.lengths.isfinite().all()
    assert found.weights.shape[-1] == found.prefix_tokens + found.grid.patches


def test_bad_calls():
    tower = wrap_backbone(tiny_open_clip(seed=0)).tower
    for rows in (torch.tensor([17]), torch.tensor([-1]), torch.zeros(0, dtype=torch.int64)):
        with pytest.raises(InputError, match="from 0 to 16"):
            attention_rows(tower, torch.zeros(1, 3, 32, 32), rows=rows)
    with pytest.raises(InputError, match="one image"):
        attention_rows(tower, torch.zeros(2, 3, 32, 32), rows=torch.tensor([0]))
