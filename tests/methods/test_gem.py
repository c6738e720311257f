"""GEM against its equations, head by head."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.methods.gem import Gem
from tests.methods.naive import (
    assert_same_map,
    double_backbone,
    double_model,
    labels,
    random_images,
    similarity,
    softmax_of,
)


def received(iterations, sharpness=1.0):
    def of_one_head(head, normed):
        temperature = sharpness * normed.norm(dim=-1).mean() / head["v"].shape[-1] ** 0.5
        outs = []
        for part in "qkv":
            points = F.normalize(head[part], dim=-1)
            for _ in range(iterations):
                points = F.normalize(softmax_of(points, points, temperature) @ points, dim=-1)
            outs.append(softmax_of(points, points, temperature) @ head["v"])
        return sum(outs) / 3

    return of_one_head


@pytest.mark.parametrize("iterations", [0, 1, 3])
@pytest.mark.parametrize("depth", [1, 2, 6])
def test_gem_equals_its_equations(iterations, depth):
    model, pixels, texts = double_model(), random_images(), labels()
    with torch.no_grad():
        evidence = Gem(iterations=iterations, depth=depth)(double_backbone(model), pixels, texts)
        for row, image in enumerate(pixels):
            expected = similarity(
                model,
                image,
                texts,
                received(iterations),
                depth=depth,
                residual=True,
                feed_forward=False,
            )
            assert_same_map(evidence.patches[row], expected)


def test_sharpness_multiplies_the_temperature():
    model, [image, _], texts = double_model(), random_images(), labels()
    with torch.no_grad():
        evidence = Gem(sharpness=4)(double_backbone(model), image[None], texts)
        expected = similarity(
            model, image, texts, received(1, 4), depth=6, residual=True, feed_forward=False
        )
    assert_same_map(evidence.patches[0], expected)


def test_the_temperature_is_computed_for_each_image():
    """A bright image in the batch must not change the temperature of a faint one."""
    model, texts = double_model(), labels()
    pixels = random_images() * torch.tensor([1.0, 30.0])[:, None, None, None]
    with torch.no_grad():
        together = Gem()(double_backbone(model), pixels, texts)
        alone = Gem()(double_backbone(model), pixels[:1], texts)
    torch.testing.assert_close(together.patches[:1], alone.patches)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "got 0"),
        ({"iterations": -1}, "-1"),
        ({"sharpness": 0}, "sharpness .* got 0"),
        ({"sharpness": float("nan")}, "got nan"),
    ],
)
def test_an_invalid_setting_is_an_error_that_names_the_value(settings, message):
    with pytest.raises(InputError, match=message):
        Gem(**settings)
