import math

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.reference_log_ratios import reference_log_ratios
from clip_surgery.surgery.walk import Features
from clip_surgery.text.features import TextFeatures


def unit(*shape, seed=0):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return F.normalize(values, dim=-1)


def example(texts=3, words=5, patches=100):
    features = Features(
        image=3 * unit(2, 8, seed=1), patches=2 * unit(2, patches, 8, seed=2),
        grid=PatchGrid(rows=1, columns=patches),
    )  # fmt: skip
    return features, TextFeatures(
        texts=tuple(map(str, range(texts))), labels=unit(texts, 8), empty=unit(8, seed=3),
        reference=unit(words, 8, seed=4),
    )  # fmt: skip


def naive(feature, texts, text, scale):
    words = [*texts.reference, texts.empty]
    feature = feature / feature.norm()
    ordinary = sum(math.exp(scale * float(feature @ word)) for word in words) / len(words)
    return scale * float(feature @ texts.labels[text]) - math.log(ordinary)


@pytest.mark.parametrize("patches", [1, 20, 100])
def test_equals_the_formula_in_loops(patches):
    features, texts = example(patches=patches)
    log_ratios = reference_log_ratios(features, texts, scale=10.0)
    assert log_ratios.shape == (2, 2, 3)
    best = max(1, round(0.03 * patches))
    for image in range(2):
        for text in range(3):
            whole = naive(features.image[image], texts, text, 10.0)
            parts = sorted(naive(patch, texts, text, 10.0) for patch in features.patches[image])
            assert float(log_ratios[image, 0, text]) == pytest.approx(whole, abs=1e-4)
            mean = sum(parts[-best:]) / best
            assert float(log_ratios[image, 1, text]) == pytest.approx(mean, abs=1e-4)


def test_an_average_word_has_log_ratio_zero():
    features, texts = example(words=1)
    same = TextFeatures(
        texts=("word",), labels=texts.empty[None], empty=texts.empty, reference=texts.empty[None]
    )
    torch.testing.assert_close(
        reference_log_ratios(features, same, scale=100.0), torch.zeros(2, 2, 1)
    )


def test_log_ratios_rise_with_similarity():
    features, texts = example()
    toward = F.normalize(texts.labels[0] + 0.2 * F.normalize(features.image[0], dim=0), dim=0)
    more = TextFeatures(
        texts=("a", "b"), labels=torch.stack([texts.labels[0], toward]), empty=texts.empty,
        reference=texts.reference,
    )  # fmt: skip
    log_ratios = reference_log_ratios(features, more, scale=20.0)[0, 0]
    assert log_ratios[1] > log_ratios[0]


def test_large_scales_do_not_overflow():
    features, texts = example()
    assert reference_log_ratios(features, texts, scale=1e4).isfinite().all()


def test_texts_without_reference_words_are_refused():
    features, texts = example()
    plain = TextFeatures(texts=texts.texts, labels=texts.labels, empty=texts.empty)
    with pytest.raises(InputError, match="reference words"):
        reference_log_ratios(features, plain, scale=1.0)
