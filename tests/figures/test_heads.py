import numpy as np
import pytest

import clip_surgery as cs
from clip_surgery.errors import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def explainer():
    from tests.towers import tiny_open_clip

    return cs.wrap(tiny_open_clip(), templates="photo", cache=False)


@pytest.mark.parametrize("image", [IMAGE, np.full((8, 8, 3), 127, np.uint8)])
def test_a_figure_of_heads(explainer, image):
    parts = cs.decompose(explainer, image)
    drawing = cs.heads_figure(explainer, image, parts, "dog", top=2)
    wider = cs.heads_figure(explainer, image, parts, "dog", top=4)
    assert drawing.mode == "RGB"
    assert wider.width > drawing.width


def test_no_head_is_refused(explainer):
    parts = cs.decompose(explainer, IMAGE)
    with pytest.raises(InputError, match="top of at least 1 head"):
        cs.heads_figure(explainer, IMAGE, parts, "dog", top=0)
