"""Values of maps for the browser, and descriptions in words."""

import base64

import numpy as np
import pytest
import torch

from clip_surgery.apps.page.map_values import describe_peak, encode_classes, encode_map
from clip_surgery.framing import Size


def decoded(text):
    columns, rows, content = text.split(",")
    return np.frombuffer(base64.b64decode(content), np.uint8).reshape(int(rows), int(columns))


def test_encoded_maps_are_samples_of_the_map():
    ramp = torch.linspace(0, 1, 320).expand(160, 320)
    values = decoded(encode_map(ramp))
    assert values.shape == (64, 64)
    np.testing.assert_allclose(values[0] / 255, (np.arange(64) + 0.5) / 64, atol=0.005)
    assert decoded(encode_classes(np.array([[-1, 0], [3, 1]]))).tolist() == [[0, 1], [4, 2]]


@pytest.mark.parametrize(("row", "column", "place"), [
    (0, 0, "upper left (x 5, y 5 px)"), (4, 5, "centre (x 55, y 45 px)"),
    (9, 9, "lower right (x 95, y 95 px)"), (0, 5, "top (x 55, y 5 px)"),
])  # fmt: skip
def test_the_peak_is_described(row, column, place):
    heatmap = torch.zeros(10, 10)
    heatmap[row, column] = 1
    assert describe_peak(heatmap, Size(100, 100)) == f"strongest at the {place}"
