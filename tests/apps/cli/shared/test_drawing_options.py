from dataclasses import replace

import pytest

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.drawing_options import DrawingOptions, DrawnContrast
from clip_surgery.presence_rule import PresenceRule
from tests.explanations import explained, random_scores


@pytest.fixture(scope="module")
def explanation():
    import torch

    plain = explained(random_scores(1, 2, 3), texts=("dog",))
    return replace(plain, reference_log_ratios=torch.zeros(1, 2, 1), backbone="open_clip:ViT/x")


def test_maps_of_a_calibrated_model_are_scaled_by_presence(explanation, capsys):
    console.begin_run(quiet=False)
    drawing = DrawingOptions()
    assert drawing.scaling(replace(explanation, backbone="demo")) == "presence"
    assert drawing.scaling(replace(explanation, presence_rule=PresenceRule())) == "presence"
    assert capsys.readouterr().err == ""


def test_maps_of_an_uncalibrated_model_have_their_own_scale_and_say_so_once(explanation, capsys):
    console.begin_run(quiet=False)
    drawing = DrawingOptions()
    assert drawing.scaling(explanation) == drawing.scaling(explanation) == "text"
    [line] = capsys.readouterr().err.splitlines()
    assert "presence is not calibrated for open_clip:ViT/x" in line
    assert "clip-surgery calibrate" in line


@pytest.mark.parametrize("contrast", ["text", "image", "presence"])
def test_a_contrast_that_was_asked_for_is_used(explanation, contrast, capsys):
    console.begin_run(quiet=False)
    drawing = DrawingOptions(contrast=DrawnContrast(contrast))
    assert drawing.scaling(explanation) == contrast
    assert capsys.readouterr().err == ""
