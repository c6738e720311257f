"""Texts that move towards patches, with any dense method."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.surgery.text_shift import shifted_texts, text_clusters
from clip_surgery.text.features import TextFeatures
from clip_surgery.text.shift import with_text_shift
from clip_surgery.windows import Windows, explain_windows
from tests.towers import tiny_open_clip

NAMES = ["cat", "bench", "red bus"]


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(
        tiny_open_clip(), method="naclip", templates="photo", cache=False, vocabulary=None
    )


def images():
    generator = np.random.default_rng(0)
    return [
        cs.read_image(generator.integers(0, 256, (32, 48, 3), dtype=np.uint8)) for _ in range(2)
    ]


def test_each_image_is_compared_with_its_own_texts(explainer):
    texts = explainer.encode(NAMES)
    moved = with_text_shift(texts, share=0.4, cut=0.2, image_share=0.3)
    explanation = explainer.explain_images(images(), moved)
    plain = explainer.explain_images(images(), texts)
    clusters = text_clusters(texts.labels, cut=0.2)
    for index, patches in enumerate(cs.patch_features(explainer, images(), texts)):
        image = plain.image_scores[index]
        own = shifted_texts(patches[None], texts.labels, image[None], clusters, share=0.4)[0]
        cosines = (normalize(patches, dim=-1) @ own.T).T
        expected = 0.7 * cosines + 0.3 * image[:, None]
        actual = explanation.similarity[index].flatten(1)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(explanation.patch_scores[index], plain.patch_scores[index])
    assert not torch.allclose(explanation.similarity[0], plain.similarity[0], atol=1e-3)


@pytest.mark.parametrize("method", ["lposs", pytest.param("free_cp", marks=pytest.mark.slow)])
def test_without_shares_nothing_changes(explainer, method):
    explainer = explainer.with_method(method)
    texts = explainer.encode(NAMES)
    plain = explainer.explain_images(images(), texts)
    still = explainer.explain_images(images(), with_text_shift(texts, share=0))
    moved = explainer.explain_images(images(), with_text_shift(texts, share=0.5))
    for first, second in zip(plain.similarity, still.similarity, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain.similarity[0], moved.similarity[0], atol=1e-3)
    assert moved.similarity[0].isfinite().all()


def test_windows_of_one_image(explainer):
    texts = with_text_shift(explainer.encode(NAMES))
    for stitch in ("logits", "outputs"):
        windows = Windows(crop=32, stride=16, stitch=stitch)
        found = explain_windows(explainer, images()[0], texts, windows=windows)
        assert found.similarity[0].shape == (3, 4, 6)


@pytest.mark.parametrize(
    "settings",
    [{"share": 1.1}, {"share": float("nan")}, {"cut": -1}, {"cut": float("inf")},
     {"image_share": -0.1}],
)  # fmt: skip
def test_bad_settings(settings):
    texts = TextFeatures(texts=("cat", "dog"), labels=torch.eye(2), empty=torch.ones(2))
    with pytest.raises(InputError, match=next(iter(settings))):
        with_text_shift(texts, **settings)


def test_experts_and_a_shift_exclude_each_other():
    texts = TextFeatures(texts=("cat", "dog"), labels=torch.eye(2), empty=torch.ones(2))
    experts = replace(texts, experts=torch.ones(2, 2, 2))
    with pytest.raises(InputError, match="got both"):
        with_text_shift(experts)
