"""The Laplacian refinement, compared with a dense system built edge by edge."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.refinement.conjugate_gradients import conjugate_gradients
from clip_surgery.refinement.laplacian import refine_by_laplacian, text_matrix


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def plain_system(maps, grey, matrix, floor, scale):
    """D (n,) and the Laplacian (n, n) of one image, from loops over cells."""
    _, height, width = maps.shape
    cells = [(row, column) for row in range(height) for column in range(width)]
    probability = (scale * maps).softmax(dim=0)
    pairs = [
        (i, j)
        for i, (row, column) in enumerate(cells)
        for j, other in enumerate(cells)
        if other in ((row + 1, column), (row, column + 1))
    ]
    steps = {pair: abs(float(grey[cells[pair[0]]] - grey[cells[pair[1]]])) for pair in pairs}
    mean = max(sum(steps.values()) / max(len(steps), 1), 1e-12)
    laplacian = torch.zeros(len(cells), len(cells), dtype=torch.float64)
    for i, j in pairs:
        agreement = probability[:, *cells[i]] @ matrix @ probability[:, *cells[j]]
        sharp = torch.exp(torch.tensor(-5 * steps[i, j] / mean, dtype=torch.float64))
        weight = min(1.0, float(sharp * (1 + agreement)))
        laplacian[i, i] += weight
        laplacian[j, j] += weight
        laplacian[i, j] -= weight
        laplacian[j, i] -= weight
    data = []
    for cell in cells:
        p = probability[:, *cell]
        data.append(max(floor, float(p.max())) ** 2 * (1 + p @ matrix @ p))
    return torch.stack(data), laplacian


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_after_many_steps_it_is_the_solution_of_the_plain_system(variant):
    maps, grey, texts = numbers(2, 3, 4, 5), numbers(2, 4, 5, seed=1), numbers(3, 7, seed=2)
    found = refine_by_laplacian(
        maps, grey, texts=texts, steps=100, floor=0.4, logit_scale=2.0, variant=variant
    )
    matrix = text_matrix(maps, texts, variant)
    for image in range(2):
        data, laplacian = plain_system(maps[image], grey[image], matrix, 0.4, 2.0)
        right = data[:, None] * maps[image].flatten(1).T
        expected = torch.linalg.solve(torch.diag(data) + laplacian, right).T.view(3, 4, 5)
        torch.testing.assert_close(found[image], expected, rtol=1e-8, atol=1e-8)


def test_the_matrix_of_texts():
    maps, texts = numbers(1, 3, 2, 2), numbers(3, 7)
    unit = F.normalize(texts, dim=-1)
    plain = torch.zeros(3, 3, dtype=torch.float64)
    for row in range(3):
        weights = torch.exp(unit @ unit[row] / 0.5)
        plain[row] = weights / weights.sum()
        plain[row, row] += 10
        plain[row] /= plain[row].sum()
    torch.testing.assert_close(text_matrix(maps, texts, "released"), plain.diagonal().diag())
    torch.testing.assert_close(text_matrix(maps, texts, "paper"), (plain + plain.T) / 2)
    assert torch.equal(text_matrix(maps, None, "paper"), torch.eye(3, dtype=torch.float64))


def test_neutral_settings_and_extreme_images():
    maps = numbers(1, 2, 3, 4)
    assert torch.equal(refine_by_laplacian(maps, numbers(1, 3, 4), steps=0), maps)
    constant = refine_by_laplacian(maps, torch.full((1, 3, 4), 0.3, dtype=torch.float64))
    assert constant.isfinite().all()
    flat = torch.full((1, 2, 3, 4), 0.7, dtype=torch.float64)
    torch.testing.assert_close(refine_by_laplacian(flat, numbers(1, 3, 4)), flat)
    for shape in ((1, 1), (1, 6), (6, 1)):
        one_text = refine_by_laplacian(numbers(1, 1, *shape), numbers(1, *shape))
        assert one_text.isfinite().all()
    alone = numbers(1, 3, 1, 1)
    torch.testing.assert_close(refine_by_laplacian(alone, numbers(1, 1, 1)), alone)


def test_scores_do_not_cross_an_edge_of_the_image():
    maps = torch.zeros(1, 1, 1, 8, dtype=torch.float64)
    maps[..., 0], maps[..., 7] = 1.0, -1.0
    grey = torch.tensor([0.0, 0, 0, 1, 1, 1, 1, 1], dtype=torch.float64)[None, None]
    refined = refine_by_laplacian(maps, grey, steps=200, floor=0.05)[0, 0, 0]
    assert abs(float(refined[2] - refined[3])) > 5 * abs(float(refined[3] - refined[4]))


def test_conjugate_gradients_solve_each_row_and_leave_solved_rows():
    matrix = numbers(5, 5)
    matrix = matrix @ matrix.T + torch.eye(5, dtype=torch.float64)
    right = torch.stack([numbers(5, seed=1), torch.zeros(5, dtype=torch.float64)])
    found = conjugate_gradients(
        lambda x: x @ matrix, right, start=torch.zeros_like(right), steps=30
    )
    torch.testing.assert_close(found[0], torch.linalg.solve(matrix, right[0]))
    assert torch.equal(found[1], right[1])
