"""Calibration of presence, on generated log ratios and with the demo model."""

import json
from dataclasses import replace

import numpy as np
import pytest

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.evaluation import SceneDataset, calibrate_presence
from clip_surgery.evaluation.calibration import fit_presence
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.presence_rule_files import read_rule, write_rule
from clip_surgery.text.cache import TextCache


def test_the_fit_recovers_the_rule_that_generated_the_observations():
    generator = np.random.default_rng(0)
    ratios = generator.normal(0, 2, (40_000, 2))
    probabilities = 1 / (1 + np.exp(-(1.5 * ratios[:, 0] + 0.5 * ratios[:, 1] - 2)))
    rule = fit_presence(ratios, generator.random(len(ratios)) < probabilities)
    assert rule.image == pytest.approx(1.5, abs=0.06)
    assert rule.patches == pytest.approx(0.5, abs=0.04)
    assert rule.offset == pytest.approx(-2, abs=0.08)


def test_weights_are_not_negative_and_separable_data_have_a_solution():
    ratios = np.array([[1.0, -1.0], [-1.0, 1.0]] * 50)
    rule = fit_presence(ratios, ratios[:, 0] > 0)
    assert rule.image > 1
    assert rule.patches == 0


@pytest.fixture
def explainer(tmp_path):
    return replace(cs.load("demo", cache=False, templates="photo"), cache=TextCache(tmp_path))


def test_a_stored_rule_is_used_by_explainers_of_the_same_model(explainer, tmp_path):
    scenes = SceneDataset(seed=7, count=6)
    image, words = scenes[0].image, sorted(scenes[0].present)
    before = explainer(image, words)
    assert before.presence_rule is None
    rule = calibrate_presence(explainer, scenes)
    assert rule.image > 0
    again = replace(explainer, batch_size=1)
    assert again(image, words).presence_rule == rule
    assert cs.presence(again(image, words)).tolist() != cs.presence(before).tolist()
    assert replace(explainer, vocabulary=("dog", "cat"))(image, words).presence_rule is None
    assert replace(explainer, cache=None)(image, words).presence_rule is None


def test_without_storing_nothing_is_written(explainer, tmp_path):
    calibrate_presence(explainer, SceneDataset(seed=7, count=2), store=False)
    assert not list(tmp_path.glob("presence-*"))


def test_a_folder_is_a_data_set(explainer, tmp_path):
    scenes = SceneDataset(seed=3, count=3, names=("dog", "cat", "bus", "tree"))
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "names.txt").write_text("\n".join(scenes.names))
    for number, scene in enumerate(scenes):
        scene.image.save(tmp_path / "images" / f"{number}.png")
        cs.palette_image(scene.mask).save(tmp_path / "masks" / f"{number}.png")
    rule = calibrate_presence(explainer, tmp_path, store=False)
    assert rule == calibrate_presence(explainer, scenes, store=False)


def test_a_vocabulary_and_both_kinds_of_pairs_are_needed(explainer):
    scenes = SceneDataset(seed=7, count=2)
    with pytest.raises(InputError, match="vocabulary=None"):
        calibrate_presence(replace(explainer, vocabulary=None), scenes)
    [word] = sorted(scenes[0].present)[:1]
    only_present = SceneDataset(seed=7, count=1, names=(word,))
    with pytest.raises(InputError, match="some classes are present and some are not"):
        calibrate_presence(explainer, only_present)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"image": null}', '{"image": -1}', '{"image": NaN}', '{"width": 1}']
)
def test_damaged_rules_are_not_used(text, tmp_path):
    path = tmp_path / "rule.json"
    path.write_text(text)
    with pytest.warns(UserWarning, match="this presence rule is damaged"):
        assert read_rule(path) is None


def test_rules_are_written_whole_and_folders_that_refuse_give_a_message(tmp_path):
    rule = PresenceRule(image=0.25, patches=3, offset=-4)
    write_rule(tmp_path / "new" / "rule.json", rule)
    assert read_rule(tmp_path / "new" / "rule.json") == rule
    assert json.loads((tmp_path / "new" / "rule.json").read_text())["patches"] == 3
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_rule(tmp_path / "file" / "rule.json", rule)
