"""A tower that shows what its blocks see computes the same, once."""

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.surgery.observed_tower import observed_tower
from clip_surgery.surgery.walk import walk
from tests.methods.naive import (
    attentions_of,
    blocks_of,
    double_backbone,
    double_model,
    embed,
    heads_of,
    random_images,
    run,
)
from tests.zoo import TOWERS


@torch.no_grad()
def test_inputs_and_mean_attention_equal_a_loop_for_another_method():
    model, pixels = double_model(), random_images()
    tower = double_backbone(model).tower
    inputs, attention = {}, {}
    watched = observed_tower(
        tower,
        inputs={1, 3},
        see_input=inputs.__setitem__,
        attention={1, 2, 3},
        see_attention=attention.__setitem__,
    )
    method = ClipSurgery(depth=2, repair_outliers=True)
    shown, plain = method.features(watched, pixels), method.features(tower, pixels)
    assert torch.equal(shown.patches, plain.patches)
    assert sorted(inputs) == [1, 3]
    assert sorted(attention) == [1, 2, 3]
    for row, image in enumerate(pixels):
        tokens = embed(model, image)
        for number, block in enumerate(blocks_of(model)[:3], start=1):
            if number in inputs:
                torch.testing.assert_close(inputs[number][row], tokens)
            heads = attentions_of(heads_of(block, block.ln_1(tokens)))
            expected = sum(heads)[1:, 1:] / len(heads)
            torch.testing.assert_close(attention[number][row], expected)
            tokens = run(block, tokens)


@pytest.mark.parametrize("name", ["open_clip", "timm_eva", "timm_siglip"])
@torch.no_grad()
def test_towers_of_other_kinds_compute_the_same(name):
    tower = wrap_backbone(TOWERS[name](seed=0), name=name).tower
    side = tower.patch_size
    pixels = torch.randn(2, 3, 2 * side, 3 * side)
    seen = []
    watched = observed_tower(
        tower,
        inputs={1},
        see_input=lambda _, tokens: seen.append(tokens),
        attention={1},
        see_attention=lambda _, attention: seen.append(attention),
    )
    assert torch.equal(walk(watched, pixels).patches, walk(tower, pixels).patches)
    assert seen[1].shape == (2, 6, 6)
    assert (seen[1].sum(dim=-1) <= 1 + 1e-5).all()
