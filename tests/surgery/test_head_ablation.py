"""Views without heads, compared with open_clip's own modules and with a plain mean."""

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError
from clip_surgery.surgery.head_ablation import mean_outputs, without_heads
from clip_surgery.surgery.walk import walk, walk_two_paths
from tests.towers import assert_same_state, state_of, tiny_open_clip
from tests.zoo import TOWER_PARAMS, TOWERS


@pytest.fixture(scope="module")
def model():
    return tiny_open_clip(seed=0)


@pytest.fixture(scope="module")
def tower(model):
    return wrap_backbone(model).tower


PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_the_view_written_out(model, tower):
    """A head without effect is a head whose rows of the out-projection are zero."""
    width = tower.width // tower.blocks[1].attention.heads
    before = state_of(model)
    found = walk(without_heads(tower, [(1, 0), (-1, 1)]), PIXELS).image
    assert_same_state(before, state_of(model))
    other = tiny_open_clip(seed=0)
    for block, head in ((1, 0), (-1, 1)):
        weight = other.visual.transformer.resblocks[block].attn.out_proj.weight
        weight[:, head * width : (head + 1) * width] = 0
    torch.testing.assert_close(found, other.encode_image(PIXELS), atol=1e-5, rtol=0)
    assert not torch.allclose(found, walk(tower, PIXELS).image, atol=1e-3)


@torch.no_grad()
def test_means_of_outputs_written_out(model, tower):
    means = mean_outputs(tower, [PIXELS[:1], PIXELS[1:]])
    seen = []
    block = model.visual.transformer.resblocks[0]
    handle = block.attn.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    model.encode_image(PIXELS)
    handle.remove()
    out = block.attn.out_proj
    expected = seen[0].mean((0, 1))  # the out-projection of a mean is the mean of outputs
    torch.testing.assert_close(out(means[0].flatten()), expected, atol=1e-5, rtol=0)
    view = without_heads(tower, [(0, head) for head in range(len(means[0]))], means)
    tokens = torch.randn(1, 3, tower.width)
    torch.testing.assert_close(view.blocks[0].attention.project_out(tokens)[0, 0], expected)


@pytest.mark.parametrize("name", TOWER_PARAMS)
@torch.no_grad()
def test_views_of_all_towers_and_of_no_head(name):
    tower = wrap_backbone(TOWERS[name](seed=0)).tower
    side = 4 * tower.patch_size
    pixels = torch.randn(1, 3, side, side)
    assert without_heads(tower, []) is tower
    view = without_heads(tower, [(-1, 0)], mean_outputs(tower, [pixels]))
    own, changed = walk(tower, pixels).image, walk(view, pixels).image
    assert changed.isfinite().all()
    assert not torch.equal(own, changed)
    assert walk_two_paths(view, pixels, depth=1).patches.isfinite().all()


@pytest.mark.parametrize("head", [(9, 0), (-9, 0), (0, 9), (0, -1)])
def test_heads_that_do_not_exist(tower, head):
    with pytest.raises(InputError, match="a block below"):
        without_heads(tower, [head])


def test_no_image(tower):
    with pytest.raises(InputError, match="at least one image"):
        mean_outputs(tower, [])
