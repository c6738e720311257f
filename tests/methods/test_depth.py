"""The setting `depth` of clip_surgery and gem: a number of blocks, or "auto"."""

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.methods.depth import applied_depth
from clip_surgery.methods.registry import as_method, parse_methods

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize(("blocks", "expected"), [(1, 1), (8, 8), (11, 11), (12, 6), (24, 6)])
def test_auto_is_the_published_depth_in_towers_that_have_as_many_blocks(blocks, expected):
    tower = type("Tower", (), {"blocks": [None] * blocks})()
    assert applied_depth("auto", tower) == expected
    assert applied_depth(3, tower) == 3


@pytest.mark.parametrize("name", ["clip_surgery", "gem"])
def test_depth_is_read_from_text(name):
    assert as_method(name).depth == "auto"
    assert as_method(f"{name}(depth=auto)") == as_method(name)
    [given] = parse_methods(f"{name}(depth=4)").values()
    assert given.depth == 4


@pytest.mark.parametrize(
    "text", ["clip_surgery(depth=deep)", "gem(depth=0)", "clip_surgery(depth=-1)"]
)
def test_other_depths_are_refused(text):
    with pytest.raises(InputError, match="Expected depth to be"):
        as_method(text)


@pytest.mark.parametrize("name", ["clip_surgery", "gem"])
def test_results_say_which_depth_was_used(name):
    explainer = cs.load("demo", templates="photo", cache=False, method=name)
    explanation = explainer(IMAGE, ["dog", "cat"])
    blocks = len(explainer.backbone.tower.blocks)
    assert f"depth={blocks}" in explanation.method
    explicit = explainer.with_method(f"{name}(depth={blocks})")
    maps, expected = (cs.heatmaps(each) for each in (explanation, explicit(IMAGE, ["dog", "cat"])))
    torch.testing.assert_close(maps[0], expected[0])
