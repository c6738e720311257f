import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.surgery.text_span import text_span


def test_the_algorithm_written_out():
    generator = torch.Generator().manual_seed(0)
    contributions = torch.randn(12, 6, generator=generator)
    texts = torch.randn(9, 6, generator=generator)
    found = text_span(contributions, texts, count=3)
    left = (contributions - contributions.mean(0)).double()
    rows, variance = texts.double(), float(left.square().sum())
    for text in found:
        explained = []
        for row in rows:
            unit = row / row.norm()
            explained.append(sum(float(one @ unit) ** 2 for one in left))
        best = max(range(len(rows)), key=explained.__getitem__)
        assert text.position == best
        assert text.share == pytest.approx(explained[best] / variance, abs=1e-6)
        unit = rows[best] / rows[best].norm()
        left = torch.stack([one - (one @ unit) * unit for one in left])
        rows = torch.stack([row - (row @ unit) * unit for row in rows])
        rows[best] = unit  # along which nothing is left


def test_shares_add_up_to_one_if_the_texts_span_the_contributions():
    contributions = torch.randn(10, 4) @ torch.randn(4, 6)
    found = text_span(contributions, torch.randn(8, 6), count=8)
    assert sum(text.share for text in found) == pytest.approx(1, abs=1e-6)
    assert len({text.position for text in found}) == len(found)


def test_the_length_of_a_text_does_not_matter():
    contributions, texts = torch.randn(10, 6), torch.randn(7, 6)
    lengths = torch.linspace(0.1, 10, 7)[:, None]
    expected = [text.position for text in text_span(contributions, texts)]
    assert [text.position for text in text_span(contributions, texts * lengths)] == expected


def test_constant_heads_have_no_texts():
    assert text_span(torch.ones(5, 3) * 0.7, torch.eye(3)) == []
    assert text_span(torch.randn(1, 3), torch.eye(3)) == []
    assert text_span(torch.randn(4, 3), torch.zeros(2, 3)) == []


def test_two_images_vary_along_one_direction():
    [text] = text_span(torch.randn(2, 6), torch.randn(5, 6))
    assert text.share == pytest.approx(1, abs=1e-9)


def test_bad_calls():
    with pytest.raises(InputError, match="at least 1 text"):
        text_span(torch.ones(2, 3), torch.eye(3), count=0)
    with pytest.raises(InputError, match="texts \\(C, D\\)"):
        text_span(torch.ones(2, 3), torch.eye(4))
