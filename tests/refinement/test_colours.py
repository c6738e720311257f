"""Refinements by colour (PAMR, guided filter, graph of pixels), compared with plain loops."""

import math

import pytest
import torch

from clip_surgery.refinement.guided_filter import refine_by_guide
from clip_surgery.refinement.local_affinity import refine_by_colour
from clip_surgery.refinement.pixel_graph import propagate_on_pixels, to_lab

H, W = 4, 6


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


MAPS, PIXELS = numbers(2, 3, H, W), numbers(2, 3, H, W, seed=1)
CELLS = [(row, column) for row in range(H) for column in range(W)]


def plain_pamr(maps, pixels, steps, dilations):
    result = maps.clone()
    weights = {}
    for row, column in CELLS:
        places = [
            (min(max(row + d * down, 0), H - 1), min(max(column + d * across, 0), W - 1))
            for d in dilations
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
        ]
        near = torch.stack([pixels[:, *place] for place in places])  # itself included
        deviation = near.std(dim=0)
        places = [p for i, p in enumerate(places) if i % 9 != 4]
        values = [
            -float(
                ((pixels[:, *p] - pixels[:, row, column]).abs() / (0.1 * deviation + 1e-8)).mean()
            )
            for p in places
        ]
        weights[row, column] = places, torch.tensor(values, dtype=torch.float64).softmax(0)
    for _ in range(steps):
        before = result.clone()
        for cell, (places, shares) in weights.items():
            result[:, *cell] = sum(
                share * before[:, *place] for share, place in zip(shares, places, strict=True)
            )
    return result


@pytest.mark.parametrize("dilations", [(1,), (1, 2), (8, 16)])
def test_means_of_similar_neighbours_equal_a_loop(dilations):
    found = refine_by_colour(MAPS, PIXELS, steps=2, dilations=dilations)
    for image in range(2):
        expected = plain_pamr(MAPS[image], PIXELS[image], 2, dilations)
        torch.testing.assert_close(found[image], expected)


def plain_guided(one_map, pixels, radius, epsilon):
    def window(row, column):
        return [(r, c) for r, c in CELLS if abs(r - row) <= radius and abs(c - column) <= radius]

    fits = {}
    for cell in CELLS:
        colours = torch.stack([pixels[:, *place] for place in window(*cell)])
        values = torch.stack([one_map[place] for place in window(*cell)])
        mean, level = colours.mean(0), values.mean()
        centred = colours - mean
        covariance = centred.T @ centred / len(values) + epsilon * torch.eye(3).double()
        slope = torch.linalg.solve(covariance, centred.T @ (values - level) / len(values))
        fits[cell] = slope, level - slope @ mean
    result = torch.zeros_like(one_map)
    for cell in CELLS:
        near = [fits[place] for place in window(*cell)]
        slope = sum(fit[0] for fit in near) / len(near)
        result[cell] = slope @ pixels[:, *cell] + sum(fit[1] for fit in near) / len(near)
    return result


@pytest.mark.parametrize("radius", [1, 2, 9])
def test_the_guided_filter_equals_a_loop(radius):
    found = refine_by_guide(MAPS, PIXELS, radius=radius, regularisation=0.01)
    expected = plain_guided(MAPS[1, 2], PIXELS[1], radius, 0.01)
    torch.testing.assert_close(found[1, 2], expected)


def test_the_graph_of_pixels_equals_a_dense_system():
    found = propagate_on_pixels(MAPS, PIXELS, reach=2, contrast=0.3, spread=0.9, steps=100)
    lab = to_lab(PIXELS)
    for image in range(2):
        weights = torch.zeros(len(CELLS), len(CELLS), dtype=torch.float64)
        for i, a in enumerate(CELLS):
            for j, b in enumerate(CELLS):
                if i != j and abs(a[0] - b[0]) <= 2 and abs(a[1] - b[1]) <= 2:
                    step = float((lab[image, :, *a] - lab[image, :, *b]).norm())
                    weights[i, j] = math.exp(-step / 0.3)
        root = weights.sum(1).rsqrt()
        system = torch.eye(len(CELLS)).double() - 0.9 * root[:, None] * weights * root
        expected = torch.linalg.solve(system, MAPS[image].flatten(1).T).T.view(3, H, W)
        torch.testing.assert_close(found[image], expected, rtol=1e-6, atol=1e-8)


def test_colours_in_lab():
    colours = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]]).T[None, :, None]
    white, red, black, grey = to_lab(colours)[0, :, 0].T
    scale = torch.tensor([100.0, 128, 128])
    torch.testing.assert_close(white * scale, torch.tensor([100.0, 0, 0]), atol=0.02, rtol=0)
    torch.testing.assert_close(red * scale, torch.tensor([53.24, 80.09, 67.2]), atol=0.05, rtol=0)
    torch.testing.assert_close(black, torch.zeros(3), atol=1e-6, rtol=0)
    assert abs(float(grey[0]) * 100 - 53.39) < 0.05


REFINERS = [refine_by_colour, refine_by_guide, propagate_on_pixels]


@pytest.mark.parametrize("refiner", REFINERS)
def test_one_pixel_one_row_and_constant_images_are_finite(refiner):
    for shape in ((1, 1), (1, 5), (5, 1), (3, 3)):
        maps = numbers(1, 2, *shape)
        constant = refiner(maps, torch.full((1, 3, *shape), 0.4, dtype=torch.float64))
        assert constant.isfinite().all()
        assert refiner(maps, numbers(1, 3, *shape)).isfinite().all()


@pytest.mark.parametrize("refiner", [refine_by_colour, refine_by_guide])
def test_a_constant_map_stays_constant(refiner):
    flat = torch.full((1, 2, H, W), 0.3, dtype=torch.float64)
    torch.testing.assert_close(refiner(flat, PIXELS[:1]), flat)


def test_neutral_settings_return_the_maps():
    assert torch.equal(refine_by_colour(MAPS, PIXELS, steps=0), MAPS)
    torch.testing.assert_close(refine_by_guide(MAPS, PIXELS, radius=0), MAPS)
    assert torch.equal(propagate_on_pixels(MAPS, PIXELS, spread=0.0), MAPS)


@pytest.mark.parametrize("refiner", REFINERS)
def test_a_coarse_map_moves_to_the_edge_of_the_image(refiner):
    pixels = torch.zeros(1, 3, 12, 12, dtype=torch.float64)
    pixels[..., 7:] = 0.9
    ramp = torch.linspace(0, 1, 12, dtype=torch.float64).expand(1, 1, 12, 12)
    settings = {"dilations": (1,)} if refiner is refine_by_colour else {}
    refined = refiner(ramp, pixels, **settings)[0, 0, 6]
    steps = (refined[1:] - refined[:-1]).abs()
    assert int(steps.argmax()) == 6
