"""Maps for few words: they do not depend on the other words, and are as good as with all words."""

import warnings

import pytest
import torch
from torch.nn.functional import interpolate

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset
from clip_surgery.surgery.min_max import min_max

SCENES = 40
MAX_LOSS_OF_AUC, MAX_LOSS_OF_CONTRAST = 0.01, 0.03


def quality(scores, mask):
    """Contrast and AUC of one map (rows, columns) against the mask of its object (H, W)."""
    resized = interpolate(scores[None, None], size=mask.shape, mode="bilinear")[0, 0]
    scaled = min_max(resized).flatten()
    inside, outside = scaled[mask.flatten()], scaled[~mask.flatten()]
    ranks = torch.cat([inside, outside]).argsort().argsort().double() + 1
    count = len(inside)
    area = (ranks[:count].sum() - count * (count + 1) / 2) / (count * len(outside))
    return torch.stack([inside.mean() - outside.mean(), area])


@pytest.fixture(scope="module")
def measured():
    """Mean contrast and AUC by condition: which words beside an object are asked for."""
    explainer = cs.load("demo", templates="photo", cache=False)
    scenes = SceneDataset(seed=2_000_003, count=SCENES)
    names, values = scenes.names, {}
    for scene in scenes:
        present = sorted(scene.present)
        absent = [name for name in names if name not in scene.present]
        other = present[-1]
        for word in present:
            mask = torch.as_tensor(scene.mask == names.index(word))
            conditions = {
                "alone": [word],
                "one absent": [word, absent[0]],
                "all present": present,
                "all": list(names),
            }
            if other != word:
                conditions["two present"] = [word, other]
            for condition, words in conditions.items():
                explanation = explainer(scene.image, words)[word]
                values.setdefault(condition, []).append(
                    quality(explanation.patch_scores[0][0], mask)
                )
    return {condition: torch.stack(rows).mean(dim=0) for condition, rows in values.items()}


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["alone", "one absent", "two present", "all present"])
def test_maps_for_few_words_are_as_good_as_for_all_words(measured, condition):
    contrast, area = (measured[condition] - measured["all"]).tolist()
    assert contrast >= -MAX_LOSS_OF_CONTRAST
    assert area >= -MAX_LOSS_OF_AUC


def test_the_map_of_a_word_does_not_depend_on_the_other_words():
    explainer = cs.load("demo", templates="photo", cache=False)
    scene = SceneDataset(seed=11, count=1)[0]
    word, *others = [*sorted(scene.present), "boat", "key", "pizza"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", cs.FewTextsWarning)
        alone = explainer(scene.image, [word])[word]
        for count in range(1, len(others) + 1):
            among = explainer(scene.image, [word, *others[:count]])[word]
            torch.testing.assert_close(among.patch_scores, alone.patch_scores)
            torch.testing.assert_close(cs.presence(among), cs.presence(alone))


def test_two_words_are_not_mirror_images():
    explainer = cs.load("demo", templates="photo", cache=False)
    scene = SceneDataset(seed=11, count=1)[0]
    first, second = explainer(scene.image, sorted(scene.present)[:2]).patch_scores[0].flatten(1)
    assert torch.corrcoef(torch.stack([first, second]))[0, 1] > -0.9
