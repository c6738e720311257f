"""The trace: same results as the walk, and a graph of the traced blocks only."""

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError
from clip_surgery.surgery.trace import trace_image
from clip_surgery.surgery.walk import walk
from tests.surgery.plain_trace import trace
from tests.towers import tiny_open_clip

BLOCKS = 4


@pytest.fixture(params=["tok", "avg"])
def tower(request):
    model = tiny_open_clip(visual={"pool_type": request.param}).requires_grad_(requires_grad=False)
    return wrap_backbone(model).tower


@pytest.mark.parametrize("depth", [1, 2, BLOCKS, 9])
def test_the_image_feature_is_the_models_own(tower, depth):
    pixels = torch.randn(2, 3, 32, 32)
    traced = trace_image(tower, pixels, depth=depth)
    torch.testing.assert_close(traced.image, walk(tower, pixels).image)
    assert len(traced.steps) == min(depth, BLOCKS)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_steps_equal_those_of_a_plain_forward_pass(tower, depth):
    pixels = torch.randn(2, 3, 32, 32)
    whole = trace(tower, pixels, depth=depth)
    steps = trace_image(tower, pixels, depth=depth).steps
    for index, step in enumerate(steps):
        rows = step.received.shape[2]
        last_by_prefix = step is steps[-1] and tower.pool_reads == "prefix"
        assert rows == (tower.prefix_tokens if last_by_prefix else 17)
        torch.testing.assert_close(step.attention, whole.attentions[index][:, :, :rows])
        torch.testing.assert_close(step.received, whole.received[index][:, :, :rows])
        torch.testing.assert_close(step.tokens, whole.tokens[index][:, :rows])
        torch.testing.assert_close(step.heads.value, whole.heads[index].value)


def test_the_graph_begins_at_the_first_traced_block(tower):
    traced = trace_image(tower, torch.randn(1, 3, 32, 32).requires_grad_(), depth=2)
    assert traced.steps[0].heads.normed.is_leaf
    assert not traced.steps[0].entry.requires_grad
    assert traced.image.requires_grad


def test_depth_below_one_is_refused(tower):
    with pytest.raises(InputError, match="got 0"):
        trace_image(tower, torch.zeros(1, 3, 32, 32), depth=0)
