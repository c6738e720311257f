import itertools

import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.surgery.masked_fit import masked_fit, r_squared


def example(masks=24, regions=3, sentences=8, words=2):
    generator = torch.Generator().manual_seed(0)
    visible = torch.rand(masks, regions, generator=generator) < 0.5
    present = torch.tensor(list(itertools.product([False, True], repeat=words)) * 2)[:sentences]
    return torch.rand(masks, len(present), generator=generator), visible, present


def test_the_closed_form_is_the_large_regression():
    """Written out: one row per pair of masks, one column per single and pair."""
    cosines, visible, present = example()
    rows, targets = [], []
    for mask, image_row in enumerate(visible.tolist()):
        for sentence, text_row in enumerate(present.tolist()):
            z = [1.0, *(value - 0.5 for value in image_row)]
            t = [1.0, *(value - 0.5 for value in text_row)]
            rows.append([a * b for a in z for b in t])
            targets.append(float(cosines[mask, sentence]))
    design, target = torch.tensor(rows).double(), torch.tensor(targets).double()[:, None]
    solution = torch.linalg.lstsq(design, target).solution.view(4, 3)
    found = masked_fit(cosines, visible, present)
    torch.testing.assert_close(found, solution, atol=1e-12, rtol=0)
    residual = float((target - design @ solution.view(-1, 1)).square().sum())
    total = float((target - target.mean()).square().sum())
    expected = 1 - residual / total
    assert r_squared(cosines, visible, present, found) == pytest.approx(expected, abs=1e-10)


def test_an_exact_model_is_recovered():
    _, visible, present = example()
    cosines = 0.2 + 0.3 * present[:, 1].float() + 0.5 * visible[:, :1] * present[:, 0].float()
    found = masked_fit(cosines, visible, present)
    assert float(found[1, 1]) == pytest.approx(0.5, abs=1e-6)
    assert float(found[0, 2]) == pytest.approx(0.3, abs=1e-6)
    assert r_squared(cosines, visible, present, found) == pytest.approx(1)
    assert r_squared(cosines, visible, present, found, pairs=False) < 0.99


def test_cosines_that_do_not_vary_have_no_fit():
    _, visible, present = example()
    flat = torch.full((len(visible), len(present)), 0.3)
    found = masked_fit(flat, visible, present)
    assert float(found[0, 0]) == pytest.approx(0.3)
    assert r_squared(flat, visible, present, found) == 0


def test_bad_calls():
    cosines, visible, present = example()
    with pytest.raises(InputError, match="cosines of shape"):
        masked_fit(cosines.T, visible, present)
    with pytest.raises(InputError, match="more masks than the 3 regions"):
        masked_fit(cosines[:3], visible[:3], present)
