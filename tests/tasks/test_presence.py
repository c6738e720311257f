from dataclasses import replace

import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.presence import presence
from tests.explanations import explained, random_scores
from tests.towers import tiny_open_clip


def example(image, patches):
    reference_log_ratios = torch.tensor([[image, patches]])
    return explained(random_scores(len(image), 4, 4), reference_log_ratios=reference_log_ratios)


def test_formula():
    rule = PresenceRule(image=0.5, patches=2.0, offset=-1.0)
    found = presence(example([1.0, -2.0], [0.5, 3.0]), rule=rule)
    torch.testing.assert_close(found, torch.sigmoid(torch.tensor([[0.5, 4.0]])))


def test_rises_with_both_parts_and_stays_between_zero_and_one():
    values = torch.linspace(-300, 300, 601).tolist()
    zeros = [0.0] * len(values)
    for found in (presence(example(values, zeros))[0], presence(example(zeros, values))[0]):
        assert (found.diff() >= 0).all()
        assert found[0] == 0
        assert found[-1] == 1
        assert ((found >= 0) & (found <= 1)).all()


def test_heatmaps_times_presence():
    explanation = example([2.0, -9.0], [1.0, -9.0])
    likely = presence(explanation)[0]
    plain, faint = heatmaps(explanation)[0], heatmaps(explanation, contrast="presence")[0]
    torch.testing.assert_close(faint, plain * likely[:, None, None])
    assert faint[1].max() < 0.01
    other = heatmaps(explanation, contrast="presence", order="scale then resize")[0]
    assert other[0].max() <= likely[0]


def test_without_a_vocabulary():
    explanation = explained(random_scores(2, 4, 4))
    for task in (presence, lambda e: heatmaps(e, contrast="presence")):
        with pytest.raises(InputError, match="vocabulary='small'"):
            task(explanation)


@pytest.mark.parametrize("change", [{"image": -1}, {"patches": float("nan")}])
def test_bad_rules(change):
    with pytest.raises(InputError, match=r"weights|finite"):
        PresenceRule(**change)


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(
        tiny_open_clip(), templates="photo", cache=False, vocabulary=["boat", "tree", "cup"]
    )


def test_presence_does_not_depend_on_the_other_texts(explainer):
    image = torch.randint(0, 256, (40, 56, 3), dtype=torch.uint8).numpy()
    together = presence(explainer(image, ["dog", "cat", "cow"]))
    alone = presence(explainer(image, ["cat"]))
    torch.testing.assert_close(together[:, 1:2], alone)


@pytest.mark.parametrize("method", ["similarity", "reversed", "bi_modal", "maskclip"])
def test_every_method_has_it(explainer, method, tmp_path):
    image = torch.randint(0, 256, (40, 56, 3), dtype=torch.uint8).numpy()
    explanation = explainer.with_method(method)([image, image[:32]], ["dog", "cat"])
    assert explanation.reference_log_ratios.shape == (2, 2, 2)
    explanation.save(tmp_path / "e.safetensors")
    again = cs.Explanation.load(tmp_path / "e.safetensors")
    assert torch.equal(presence(again), presence(explanation))


def test_the_rule_of_an_explanation_is_used_and_saved(tmp_path):
    rule = PresenceRule(image=0.0, patches=0.0, offset=0.0)
    explanation = replace(example([3.0], [3.0]), presence_rule=rule)
    assert presence(explanation).tolist() == [[0.5]]
    assert presence(explanation, rule=PresenceRule(offset=-1e3)).tolist() == [[0.0]]
    explanation.save(tmp_path / "e.safetensors")
    assert cs.Explanation.load(tmp_path / "e.safetensors").presence_rule == rule
