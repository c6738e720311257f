"""Templates chosen by entropy and segmentation by experts, compared with loops in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.text.bank import encode_texts, template_features
from clip_surgery.text.experts import choose_templates, expert_scores, with_experts
from clip_surgery.text.features import TextFeatures
from clip_surgery.windows import Windows, explain_windows
from tests.towers import tiny_open_clip

NAMES = ["cat", "bench", "red bus"]


def random_features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_entropies(batches, templates, scale):
    """Mean entropy of each template (M) for each class (C); None where it predicts none."""
    sums = [[[] for _ in range(templates.shape[1])] for _ in templates]
    for batch in batches:
        for patch in batch.double().reshape(-1, batch.shape[-1]):
            for m, texts in enumerate(templates.double()):
                logits = [scale * float(patch @ t / (patch.norm() * t.norm())) for t in texts]
                exps = [math.exp(logit - max(logits)) for logit in logits]
                p = [e / sum(exps) for e in exps]
                entropy = -sum(q * math.log(q) for q in p if q > 0)
                sums[m][p.index(max(p))].append(entropy)
    return [[sum(e) / len(e) if e else None for e in row] for row in sums]


def test_the_templates_of_lowest_entropy_are_chosen():
    batches = [random_features(2, 11, 4), random_features(7, 4, seed=1)]
    templates = random_features(5, 3, 4, seed=2)
    chosen = choose_templates(iter(batches), templates, count=2, logit_scale=3.0)
    entropies = plain_entropies(batches, templates, 3.0)
    for c, row in enumerate(chosen):
        known = sorted((of[c], m) for m, of in enumerate(entropies) if of[c] is not None)
        assert row.nonzero()[:, 0].tolist() == sorted(m for _, m in known[:2])


def test_templates_that_never_predict_a_text_are_no_experts_of_it():
    """The second text is only predicted by the last template, the third by none."""
    patches = torch.eye(3)[[0, 0, 1]]
    towards_first = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 0, 1]])
    towards_second = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    templates = torch.stack([towards_first, towards_first, towards_second])
    chosen = choose_templates([patches], templates, count=2)
    assert chosen[1].tolist() == [False, False, True]
    assert chosen[2].tolist() == [True, True, True]
    assert chosen[0].sum() == 2


def test_all_templates_are_the_usual_mean():
    backbone = cs.wrap(tiny_open_clip(), cache=False, vocabulary=None).backbone
    with torch.no_grad():
        texts = encode_texts(backbone, NAMES, templates="small")
    templates = template_features(backbone, NAMES, templates="small")
    assert templates.shape[:2] == (7, 3)
    torch.testing.assert_close(templates.norm(dim=-1), torch.ones(7, 3))
    patches = random_features(2, 6, templates.shape[-1])
    chosen = choose_templates([patches], templates, count=None)
    assert chosen.all()
    found = with_experts(texts, templates, chosen)
    for expert in found.experts:
        torch.testing.assert_close(expert, texts.labels)

    def scores(of):
        return normalize(patches, dim=-1) @ of.T

    usual = scores(texts.labels)
    torch.testing.assert_close(expert_scores(scores, found.experts, usual), usual)


def test_one_text_keeps_all_templates():
    assert choose_templates([random_features(5, 4)], random_features(3, 1, 4), count=1).all()


def test_each_patch_takes_the_responsible_expert():
    experts, patches = random_features(4, 4, 3), random_features(2, 9, 3, seed=1)
    usual = random_features(2, 9, 4, seed=2)
    found = expert_scores(lambda texts: patches @ texts.T, experts, usual, logit_scale=2.0)
    seen = set()
    for image in range(2):
        for p in range(9):
            candidates = []
            for e in range(4):
                own = (patches[image, p].double() @ experts[e].double().T).tolist()
                if own.index(max(own)) == e:
                    candidates.append((math.exp(2 * own[e]) / sum(math.exp(2 * s) for s in own), e))
            seen.add(min(len(candidates), 2))
            if candidates:
                expected = patches[image, p] @ experts[max(candidates)[1]].T
            else:
                expected = usual[image, p]
            torch.testing.assert_close(found[image, p], expected)
    assert seen == {0, 1, 2}


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(
        tiny_open_clip(), method="naclip", templates="photo", cache=False, vocabulary=None
    )


@pytest.mark.parametrize(
    "method", ["naclip", "lposs", pytest.param("free_cp", marks=pytest.mark.slow)]
)
def test_segmentation_compares_experts_and_heatmaps_do_not(explainer, method):
    explainer = explainer.with_method(method)
    image = cs.read_image(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))
    texts = explainer.encode(NAMES)
    templates = cs.template_features(explainer.backbone, NAMES, templates="small")
    patches = cs.patch_features(explainer, [image, image], texts)
    assert [tuple(p.shape) for p in patches] == [(24, templates.shape[-1])] * 2
    chosen = cs.choose_templates(patches, templates, count=1)
    found = cs.with_experts(texts, templates, chosen)
    explanation = explainer.explain_images([image], found)
    plain = explainer.explain_images([image], texts)
    assert torch.equal(explanation.patch_scores[0], plain.patch_scores[0])
    assert torch.equal(explanation.image_scores, plain.image_scores)
    assert not torch.allclose(explanation.similarity[0], plain.similarity[0], atol=1e-4)
    assert explanation.similarity[0].isfinite().all()
    if method == "naclip":
        similarity = (normalize(patches[0], dim=-1) @ texts.labels.T)[None]
        expected = expert_scores(
            lambda of: normalize(patches[0], dim=-1)[None] @ of.T, found.experts, similarity
        )
        actual = explanation.similarity[0].flatten(1).T[None]
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
        whole = explain_windows(explainer, image, found, windows=Windows(crop=32))
        assert whole.similarity[0].shape == (3, 4, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count of at least 1"),
        ({"logit_scale": 0}, "logit_scale above 0"),
        ({"logit_scale": float("nan")}, "logit_scale above 0"),
        ({"patches": []}, "at least one image"),
        ({"patches": [torch.ones(0, 4)]}, "at least one image"),
        ({"patches": [torch.ones(2, 5)]}, r"\(\.\.\., 4\), but got \(2, 5\)"),
        ({"patches": [torch.ones(4)]}, r"but got \(4,\)"),
        ({"patches": [torch.full((2, 4), float("nan"))]}, "8 values that are not finite"),
        ({"templates": torch.ones(3, 4)}, r"templates \(M, C, D\), but got \(3, 4\)"),
        ({"templates": torch.full((1, 1, 4), float("inf"))}, "4 values that are not finite"),
    ],
)
def test_bad_inputs_of_the_choice(changes, message):
    arguments = {"patches": [torch.ones(2, 4)], "templates": torch.ones(3, 2, 4), **changes}
    with pytest.raises(InputError, match=message):
        choose_templates(**arguments)


def test_bad_inputs_of_experts():
    texts = TextFeatures(texts=("cat", "dog"), labels=torch.eye(2), empty=torch.ones(2))
    chosen = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(InputError, match=r"templates \(M, 2, 2\)"):
        with_experts(texts, torch.ones(3, 2, 5), chosen)
    with pytest.raises(InputError, match=r"chosen \(2, M\)"):
        with_experts(texts, torch.ones(3, 2, 2), chosen[:, :2])
    with pytest.raises(InputError, match="at least one chosen template"):
        with_experts(texts, torch.ones(3, 2, 2), ~chosen)
    with pytest.raises(InputError, match=r"experts of shape \(2, 2, 2\)"):
        replace(texts, experts=torch.ones(2, 2))
    explainer = cs.wrap(tiny_open_clip(), method="grad_cam", vocabulary=None, cache=False)
    with pytest.raises(InputError, match="dense method"):
        cs.patch_features(explainer, [], texts)
