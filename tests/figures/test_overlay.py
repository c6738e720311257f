import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.figures.overlay import COLOUR_MAP, colour_table, overlay

GREY = Image.new("RGB", (8, 6), (100, 120, 140))


def gradient(height=6, width=8):
    return torch.linspace(0, 1, width).expand(height, width)


def test_opacity_0_shows_the_image_and_opacity_1_the_colours():
    assert overlay(GREY, gradient(), opacity=0).tobytes() == GREY.tobytes()
    colours = np.asarray(overlay(GREY, gradient(), opacity=1, fade=0))
    assert colours[0, 0].tolist() == colour_table("inferno")[0].tolist()
    assert colours[0, -1].tolist() == colour_table("inferno")[-1].tolist()


def test_opacity_is_the_share_of_the_colours():
    blended = np.asarray(overlay(GREY, gradient(), opacity=0.6, fade=0)).astype(float)
    colours = np.asarray(overlay(GREY, gradient(), opacity=1, fade=0)).astype(float)
    np.testing.assert_allclose(blended, 0.4 * np.asarray(GREY) + 0.6 * colours, atol=1)


def test_fade_reduces_the_opacity_of_low_values():
    blended = np.asarray(overlay(GREY, gradient(), opacity=0.8, fade=1)).astype(float)
    colours = np.asarray(overlay(GREY, gradient(), opacity=1, fade=0)).astype(float)
    values = gradient().numpy()[..., None]
    shares = 0.8 * (3 * values**2 - 2 * values**3)
    np.testing.assert_allclose(blended, (1 - shares) * np.asarray(GREY) + shares * colours, atol=2)
    assert blended[0, 0].tolist() == list(GREY.getpixel((0, 0)))


def test_overlay_is_deterministic_and_of_the_size_of_the_image():
    first, second = overlay(GREY, gradient()), overlay(GREY, gradient())
    assert first.size == GREY.size
    assert first.mode == "RGB"
    assert first.tobytes() == second.tobytes()


def test_overlay_accepts_arrays_half_precision_and_any_image_source():
    expected = overlay(GREY, gradient()).tobytes()
    assert overlay(np.asarray(GREY), gradient().numpy()).tobytes() == expected
    assert overlay(GREY, torch.ones(6, 8, dtype=torch.float16).requires_grad_()).size == (8, 6)


def test_the_default_colours_rise_in_lightness_and_leave_the_image_where_a_map_is_0():
    lightness = colour_table(COLOUR_MAP) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) >= -0.5).all()
    blended = np.asarray(overlay(GREY, gradient()))
    assert (blended[:, 0] == np.asarray(GREY)[:, 0]).all()
    assert (np.abs(blended[:, -1].astype(int) - np.asarray(GREY)[:, -1]).max(-1) > 80).all()


def test_other_colour_maps():
    assert overlay(GREY, torch.ones(6, 8), colour_map="gray", opacity=1, fade=0).getpixel(
        (0, 0)
    ) == ((255,) * 3)
    with pytest.raises(
        UnknownNameError, match=r"Unknown colour map 'turob'\. Did you mean 'turbo'"
    ):
        overlay(GREY, gradient(), colour_map="turob")


@pytest.mark.parametrize("size", [(640, 480), (60, 40), (5, 5), (1, 30)])
def test_the_legend_is_below_the_image(size):
    image = Image.new("RGB", size)
    heat = torch.zeros(size[1], size[0])
    with_legend = overlay(image, heat, legend=True)
    plain = overlay(image, heat)
    assert with_legend.width == plain.width
    assert with_legend.height > plain.height
    assert with_legend.crop((0, 0, *size)).tobytes() == plain.tobytes()


@pytest.mark.parametrize(
    ("heatmap", "settings", "reason"),
    [
        (torch.zeros(8, 6), {}, r"image's size \(6, 8\) \(height, width\), but got .*\(8, 6\)"),
        (torch.zeros(1, 6, 8), {}, r"shape \(1, 6, 8\)"),
        (torch.full((6, 8), 1.5), {}, "within 0 to 1, but got 1.5 to 1.5; raw scores"),
        (torch.full((6, 8), -0.2), {}, "within 0 to 1"),
        (torch.full((6, 8), float("nan")), {}, "within 0 to 1, but got nan"),
        (torch.zeros(6, 8), {"opacity": 1.5}, "opacity to be within 0 to 1, but got 1.5"),
        (torch.zeros(6, 8), {"opacity": -1}, "opacity to be within 0 to 1"),
        (torch.zeros(6, 8), {"fade": 2}, "fade to be within 0 to 1, but got 2"),
    ],
)
def test_bad_overlays(heatmap, settings, reason):
    with pytest.raises(InputError, match=reason):
        overlay(GREY, heatmap, **settings)


@pytest.mark.slow
def test_pyplot_is_never_loaded():
    code = (
        "import sys, torch\n"
        "from PIL import Image\n"
        "from clip_surgery.figures.overlay import overlay\n"
        "assert 'matplotlib' not in sys.modules\n"
        "overlay(Image.new('RGB', (4, 4)), torch.zeros(4, 4), legend=True)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
