"""EvaluatedImage: several texts per class, background words, and the maps metrics share."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.text.features import TextFeatures
from tests.cases import NAMES, case_of, random_case, random_mask, sample_of
from tests.explanations import random_scores

PROMPTS = (("cat",), ("dog", "puppy", "hound"), ("bus", "coach"), ("tree",))
WORDS = ("wall", "floor")


def aliased_case():
    return case_of(
        random_mask(0),
        random_scores(9, 3, 4),
        prompts=PROMPTS,
        background=WORDS,
        image_scores=random_scores(1, 9, seed=1),
        reference_log_ratios=random_scores(1, 2, 9, seed=2),
    )


def test_by_name_is_the_highest_of_each_names_texts():
    case = aliased_case()
    rows = ([0], [1, 2, 3], [4, 5], [6])
    whole, own = case.explanation, case.by_name
    assert own.texts == NAMES
    for index, texts in enumerate(rows):
        for of_all, of_name in (
            (whole.patch_scores[0], own.patch_scores[0]),
            (whole.similarity[0], own.similarity[0]),
            (whole.image_scores[0], own.image_scores[0]),
            (whole.reference_log_ratios[0].T, own.reference_log_ratios[0].T),
        ):
            highest = torch.stack([of_all[row] for row in texts]).amax(dim=0)
            assert torch.equal(of_name[index], highest)


def test_without_aliases_nothing_is_copied():
    case = random_case(0)
    assert case.by_name is case.explanation
    single = case_of(random_mask(0), random_scores(4, 3, 4), prompts=tuple((n,) for n in "abcd"))
    assert single.by_name.texts == NAMES
    assert single.by_name.patch_scores[0] is single.explanation.patch_scores[0]


def test_background_words_alone_are_dropped():
    case = case_of(random_mask(0), random_scores(6, 3, 4), background=WORDS)
    assert case.by_name.texts == NAMES
    assert torch.equal(case.by_name.patch_scores[0], case.explanation.patch_scores[0][:4])


@pytest.mark.parametrize("seed", range(4))
def test_scaled_maps_are_those_of_heatmaps(seed):
    mask = random_mask(seed)
    scores = random_scores(4, 3, 4, seed=seed)
    scores[0] = 0.3  # flat: resizing leaves rounding noise in it
    case = case_of(mask, scores)
    expected = heatmaps(case.explanation)[0][case.present][:, torch.from_numpy(mask != -2)]
    torch.testing.assert_close(case.judged_heatmaps, expected, atol=1e-6, rtol=0)
    assert case.judged_heatmaps.min() >= 0
    assert case.judged_heatmaps.max() <= 1


def test_what_is_in_the_image():
    mask = np.array([[-2, -1], [2, 2]])
    case = case_of(mask, random_scores(4, 2, 2), present=frozenset({"bus", "tree"}))
    assert (case.present, case.labelled, case.absent) == ([2], [2, 3], [0, 1])
    assert case.true_indices.tolist() == [-1, 2, 2]
    assert case.object_pixels.tolist() == [[False, True, True]]


def test_what_is_unsure_is_neither_present_nor_absent():
    case = case_of(np.array([[-2, -1], [2, 2]]), random_scores(4, 2, 2))
    unsure = replace(case, sample=replace(case.sample, unsure=frozenset({"dog"})))
    assert (case.labelled, case.absent, case.decided) == ([2], [0, 1, 3], [0, 1, 2, 3])
    assert (unsure.labelled, unsure.absent, unsure.decided) == ([2], [0, 3], [0, 2, 3])


def test_a_mask_that_cannot_be_written_to_is_read():
    mask = random_mask(0)[::-1]
    mask.flags.writeable = False
    case = case_of(mask, random_scores(4, 3, 4))
    assert torch.equal(case.mask, torch.tensor(mask.tolist()))


def test_scores_that_are_not_finite_are_refused_by_name():
    scores = random_scores(4, 12, 16)
    scores[1, 0, 0] = float("nan")
    with pytest.raises(InputError, match=r"0\.jpg: expected finite scores for 'dog'"):
        _ = case_of(random_mask(0), scores).maps


def test_a_case_must_fit_its_texts_and_truth():
    case = aliased_case()
    parts = {"explanation": case.explanation, "sample": case.sample, "names": NAMES}
    with pytest.raises(InputError, match="for 4 classes by 4 texts, but got 1 for 9"):
        EvaluatedImage(**parts)
    with pytest.raises(InputError, match="prompts for 4 classes, but got 3"):
        EvaluatedImage(**parts, prompts=PROMPTS[:3], background=WORDS)
    others = TextFeatures(texts=NAMES, labels=torch.ones(4, 2), empty=torch.ones(2))
    with pytest.raises(InputError, match="features of the explanation's texts"):
        EvaluatedImage(**parts, prompts=PROMPTS, background=WORDS, features=others)
    with pytest.raises(InputError, match="below 4, one per class, but got 4"):
        EvaluatedImage(
            **{**parts, "sample": sample_of(np.full((12, 16), 4), (*NAMES, "sky"))},
            prompts=PROMPTS,
            background=WORDS,
        )
