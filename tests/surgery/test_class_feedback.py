"""Feedback of classes, compared with loops over pairs of patches."""

import math

import pytest
import torch

from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.class_feedback import class_feedback, line_in_class

GRIDS = [(4, 6), (1, 7), (5, 1), (1, 1)]


def random_classes(grid, batch=2, classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, classes, (batch, grid.patches), generator=generator)


def plain_connected(classes, grid, i, j, variant):
    """Whether the line from patch i to patch j stays in the class of i."""
    (r, c), (s, d) = divmod(i, grid.columns), divmod(j, grid.columns)
    steps = max(abs(r - s), abs(c - d))
    divisor = steps if variant == "paper" else max(grid.rows, grid.columns) - 1
    for t in range(steps + 1):
        row, column = (
            round(a + (b - a) * t / divisor) if divisor else a for a, b in ((r, s), (c, d))
        )
        if classes[row * grid.columns + column] != classes[i]:
            return False
    return True


def bump(distance, std):
    reach = int(3 * std)
    total = sum(math.exp(-(x**2) / (2 * std**2)) for x in range(-reach, reach + 1))
    return math.exp(-(distance**2) / (2 * std**2)) / total if abs(distance) <= reach else 0.0


def plain_feedback(classes, grid, std, variant):
    """The bias of one image."""
    count, columns = grid.patches, grid.columns
    longest = max(grid.rows, columns) - 1
    matrix = torch.zeros(count, count)
    for i in range(count):
        for j in range(count):
            steps = max(abs(i // columns - j // columns), abs(i % columns - j % columns))
            if classes[i] == classes[j]:
                connected = plain_connected(classes, grid, i, j, variant)
                matrix[i, j] = 1 if connected else math.exp(-steps / longest)
    blurred = torch.zeros_like(matrix)
    for j in range(count):
        for k in range(count):
            if variant == "released":
                weight = bump(j - k, std)
            else:
                weight = bump(j // columns - k // columns, std) * bump(
                    j % columns - k % columns, std
                )
            blurred[:, j] += weight * matrix[:, k]
    shares = blurred / (blurred.sum(dim=1, keepdim=True) + 1e-8)
    return shares / shares.max()


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("shape", GRIDS)
def test_lines_equal_loops(shape, variant):
    grid = PatchGrid(*shape)
    classes = random_classes(grid)
    actual = line_in_class(classes, grid, variant=variant)
    for image in range(2):
        for i in range(grid.patches):
            for j in range(grid.patches):
                expected = plain_connected(classes[image], grid, i, j, variant)
                assert bool(actual[image, i, j]) == expected


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("std", [0.8, 5.0])
@pytest.mark.parametrize("shape", GRIDS)
def test_feedback_equals_loops_for_every_image_of_a_batch(shape, std, variant):
    grid = PatchGrid(*shape)
    classes = random_classes(grid, classes=3)
    actual = class_feedback(classes, grid, std=std, variant=variant)
    for image in range(2):
        torch.testing.assert_close(
            actual[image], plain_feedback(classes[image], grid, std, variant)
        )


def test_a_wall_of_another_class_separates_two_objects():
    grid = PatchGrid(rows=1, columns=5)
    classes = torch.tensor([[0, 0, 1, 0, 0]])
    connected = line_in_class(classes, grid, variant="paper")
    assert connected[0, 0, 1]
    assert not connected[0, 0, 3]


def test_the_released_code_misses_a_wall_on_a_short_line():
    """Points are spread as on the longest line of 9 patches, so that a line of 2 has 1 of them."""
    grid = PatchGrid(rows=1, columns=10)
    classes = torch.tensor([[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]])
    assert not line_in_class(classes, grid, variant="paper")[0, 0, 2]
    assert line_in_class(classes, grid, variant="released")[0, 0, 2]


def test_the_released_blur_wraps_around_rows():
    grid = PatchGrid(rows=3, columns=3)
    classes = torch.arange(9)[None]  # every patch has a class of its own
    right_end, next_row = 2, 3
    paper, released = (
        class_feedback(classes, grid, std=0.4, variant=variant)[0, right_end, next_row]
        for variant in ("paper", "released")
    )
    assert paper < 0.01 < released
