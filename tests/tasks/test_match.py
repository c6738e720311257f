import numpy as np
import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.surgery.walk import walk
from clip_surgery.tasks.match import explain_match
from clip_surgery.text.bank import encode_texts
from tests.zoo import TOWER_PARAMS, TOWERS

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (64, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def explainer():
    return cs.load("demo", templates="photo", cache=False)


def own_cosine(explainer, query, image):
    """The cosine of the model's own features, without any split."""
    tower = explainer.backbone.tower
    with torch.no_grad():
        feature = walk(tower, explainer.pixels(cs.read_image(image))).image[0]
        if isinstance(query, str):
            other = encode_texts(explainer.backbone, [query], templates=("{}",)).labels[0]
        else:
            other = walk(tower, explainer.pixels(cs.read_image(query))).image[0]
    return float(cosine_similarity(feature, other, dim=0))


@pytest.mark.parametrize("name", TOWER_PARAMS)
def test_patches_and_rest_add_up_to_the_models_cosine(name):
    explainer = cs.wrap(TOWERS[name](seed=0), cache=False)
    for query in ("a red car", OTHER):
        found = explain_match(explainer, query, IMAGE)
        expected = own_cosine(explainer, query, IMAGE)
        assert found.similarity == pytest.approx(expected, abs=1e-5)
        total = float(found.patch_scores().sum()) + found.rest
        assert total == pytest.approx(expected, abs=1e-5)


def test_words_have_the_scores_of_the_task_words(explainer):
    found = explain_match(explainer, "a red car and a dog", IMAGE)
    expected = cs.words(explainer, IMAGE, "a red car and a dog")
    torch.testing.assert_close(found.split.part_scores(), expected.scores, atol=1e-5, rtol=0)
    assert found.words == expected.words
    assert found.word_maps().shape == (6, found.grid.rows, found.grid.columns)
    assert list(found.word_scores()) == ["a", "red", "car", "and", "dog"]
    both = float(expected.scores[0] + expected.scores[4])
    assert found.word_scores()["a"] == pytest.approx(both, abs=1e-5)


def test_the_margin_over_a_rival_is_exact(explainer):
    for query, rival in (("a dog", "a cat"), (OTHER, "a cat"), (OTHER, IMAGE[:, ::-1].copy())):
        found = explain_match(explainer, query, IMAGE, rival)
        expected = own_cosine(explainer, query, IMAGE) - own_cosine(explainer, rival, IMAGE)
        assert found.margin() == pytest.approx(expected, abs=1e-5)
        total = float(found.margin_scores().sum()) + found.margin_rest()
        assert total == pytest.approx(expected, abs=1e-5)


def test_an_image_matches_itself_symmetrically(explainer):
    found = explain_match(explainer, IMAGE, IMAGE)
    assert found.similarity == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(found.split.pairs, found.split.pairs.T, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.query_patch_scores(), found.patch_scores(), atol=1e-6, rtol=0)
    assert all(pair.score > 0 for pair in found.best_pairs())


@pytest.mark.parametrize("query", ["dog", "zqxv", "...", np.full((8, 8, 3), 127, np.uint8)])
def test_flat_images_and_gibberish_have_finite_answers(explainer, query):
    found = explain_match(explainer, query, np.full((9, 7, 3), 127, np.uint8), "cow")
    assert found.patch_scores().isfinite().all()
    assert found.margin_scores().isfinite().all()


def test_phrases_count_as_one_word(explainer):
    found = explain_match(explainer, "a red car", IMAGE, "a bus", phrases=["red car"])
    assert found.words == ("a", "red car")
    assert found.rival.words == ("a", "bus")


def test_bad_calls(explainer):
    with pytest.raises(InputError, match="phrases that occur in a text"):
        explain_match(explainer, "a dog", IMAGE, phrases=["cat"])
    found = explain_match(explainer, "a dog", IMAGE)
    for call in (found.margin, found.margin_scores, found.margin_rest):
        with pytest.raises(InputError, match="a match with a rival"):
            call()
    with pytest.raises(InputError, match="a match of two images"):
        found.best_pairs()
    with pytest.raises(InputError, match="a match of a sentence"):
        explain_match(explainer, OTHER, IMAGE).word_maps()


@pytest.mark.slow
def test_shared_and_named_objects_carry_the_match():
    """On scenes, the share of the evidence on the object is larger than the share of its area."""
    explainer = cs.load("demo", cache=False)
    scenes = list(SceneDataset(seed=2_600_011, count=40))
    names = SceneDataset(seed=2_600_011, count=1).names

    def gain(found, scene, name):
        mask = torch.as_tensor(scene.mask == names.index(name)).float()
        area = adaptive_avg_pool2d(mask[None, None], (found.grid.rows, found.grid.columns))[0, 0]
        evidence = found.patch_scores().clamp(min=0)
        return float((evidence * area).sum() / evidence.sum()) > float(area.mean())

    by_text, by_image = [], []
    for index, scene in enumerate(scenes):
        name = min(scene.present)
        by_text.append(
            gain(explain_match(explainer, f"a photo of a {name}", scene.image), scene, name)
        )
        other = next((s for s in scenes[index + 1 :] if len(s.present & scene.present) == 1), None)
        if other is not None:
            [shared] = other.present & scene.present
            by_image.append(gain(explain_match(explainer, other.image, scene.image), scene, shared))
    assert sum(by_text) / len(by_text) >= 0.95
    assert sum(by_image) / len(by_image) >= 0.9
