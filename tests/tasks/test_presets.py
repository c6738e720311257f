"""Presets of segmentation, and regions that a segmenter redraws."""

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.apps.cli.shared.method_options import MethodOptions, PresetName
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.presets import PRESETS
from clip_surgery.segmenters.segmenter import Candidates
from clip_surgery.settings import ExplainerSettings
from clip_surgery.tasks.mask_redraw import redraw_regions
from clip_surgery.testing.tiny_models.companions import tiny_companion


def black(height, width):
    return read_image(np.zeros((height, width, 3), dtype=np.uint8))


class Recorder:
    """Returns the box of each prompt as its mask, with given scores, and keeps the prompts."""

    def __init__(self, *scores):
        self.scores, self.prompts = scores, []

    def __call__(self, image: InputImage, prompts):
        self.prompts = prompts
        results = []
        for prompt, score in zip(prompts, self.scores, strict=True):
            mask = torch.zeros(image.size, dtype=torch.bool)
            left, top, right, bottom = map(int, prompt.box)
            mask[top:bottom, left:right] = True
            worse = torch.zeros_like(mask)
            results.append(
                Candidates(
                    masks=torch.stack([worse, mask]), scores=torch.tensor([score / 2, score])
                )
            )
        return results


def two_regions():
    """An L of class 0, whose box is 4 x 4, and a square of class 1 inside of that box."""
    segmentation = torch.full((8, 10), -1)
    segmentation[2:6, 3] = 0
    segmentation[5, 3:7] = 0
    segmentation[2:4, 5:7] = 1
    scores = torch.rand(8, 10)
    scores[4, 3], scores[3, 6] = 5.0, 9.0
    return segmentation, scores


def test_each_region_becomes_a_prompt_and_is_redrawn():
    segmentation, scores = two_regions()
    segmenter = Recorder(0.9, 0.9)
    redrawn = redraw_regions(segmentation, scores, black(8, 10), segmenter, with_background=True)
    first, second = segmenter.prompts
    assert (first.box, second.box) == ((3, 2, 7, 6), (5, 2, 7, 4))
    assert (first.xy.tolist(), second.xy.tolist()) == ([[3, 4]], [[6, 3]])
    assert torch.equal(first.logits > 0, segmentation == 0)
    expected = torch.full((8, 10), -1)
    expected[2:6, 3:7] = 0
    expected[2:4, 5:7] = 1  # its mean score is higher
    assert torch.equal(redrawn, expected)
    assert torch.equal(segmentation, two_regions()[0])


def test_a_refused_region_stays_as_it_is():
    segmentation, scores = two_regions()
    kept = redraw_regions(
        segmentation, scores, black(8, 10), Recorder(0.7, 0.7), with_background=True
    )
    assert torch.equal(kept, segmentation)
    small = redraw_regions(
        segmentation, scores, black(8, 10), Recorder(0.9), with_background=True, min_share=0.08
    )
    assert (small == 0).sum() == 16  # the square is too small for a prompt, and is covered
    mixed = redraw_regions(
        segmentation, scores, black(8, 10), Recorder(0.9, 0.7), with_background=True
    )
    assert torch.equal(mixed == 1, segmentation == 1)  # refused, but of the higher score


def test_pixels_that_a_region_leaves_become_background_only_if_there_is_one():
    segmentation = torch.zeros(4, 4, dtype=torch.int64)

    def nothing_but_a_corner(image, prompts):
        mask = torch.zeros(1, 4, 4, dtype=torch.bool)
        mask[0, 0, 0] = True
        return [Candidates(masks=mask, scores=torch.ones(1)) for _ in prompts]

    arguments = (segmentation, torch.rand(4, 4), black(4, 4), nothing_but_a_corner)
    assert (redraw_regions(*arguments, with_background=True) == -1).sum() == 15
    assert torch.equal(redraw_regions(*arguments, with_background=False), segmentation)
    empty = torch.full((4, 4), -1)
    assert torch.equal(redraw_regions(empty, *arguments[1:], with_background=True), empty)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda image, prompts: [], "results of the segmenter"),
        (
            lambda image, prompts: [
                Candidates(masks=torch.ones(1, 2, 2, dtype=torch.bool), scores=torch.ones(1))
                for _ in prompts
            ],
            "expected masks of",
        ),
    ],
)
def test_a_segmenter_that_answers_wrongly_is_named(answer, message):
    segmentation, scores = two_regions()
    with pytest.raises(InputError, match=message):
        redraw_regions(segmentation, scores, black(8, 10), answer, with_background=True)
    with pytest.raises(InputError, match="expected a segmentation"):
        redraw_regions(segmentation, scores, black(8, 8), answer, with_background=True)


@pytest.fixture(scope="module")
def scenes():
    return SceneDataset(seed=2_500_010, count=6)


def miou(scenes, explanations, images, **settings):
    metric = SegmentationIoU(tuple(scenes.names), **settings)
    for sample, explanation in zip(scenes, explanations, strict=True):
        metric.update(EvaluatedImage(explanation=explanation, sample=sample, names=scenes.names))
    return metric.compute()["segmentation mIoU"]


@pytest.mark.slow
def test_the_fast_preset_segments_scenes_better_than_the_defaults(scenes):
    explainer = cs.load("demo", preset="fast", batch_size=6)
    images = [read_image(sample.image) for sample in scenes]
    explanations = explainer.explain_images(images, explainer.encode(scenes.names))
    preset = PRESETS["fast"]
    plain = miou(scenes, explanations, images)
    refined = miou(scenes, explanations, images, threshold=preset.threshold, refine=preset.refine)
    assert refined > plain + 8
    every = {"labels": "all", "threshold": preset.threshold, "refine": preset.refine}
    all_names = miou(scenes, explanations, images, **every)
    pruned = miou(scenes, explanations, images, **every, min_presence=preset.min_presence)
    assert pruned > all_names + 0.5 * (refined - all_names)


@pytest.mark.slow
def test_the_preset_of_scenes_is_better_on_them_than_the_fast_one():
    scenes = SceneDataset(seed=2_500_009, count=24)
    images = [read_image(sample.image) for sample in scenes]
    results = {}
    for name in ("fast", "scenes"):
        explainer = cs.load("demo", preset=name, batch_size=6)
        explanations = explainer.explain_images(images, explainer.encode(scenes.names))
        preset = PRESETS[name]
        settings = {"threshold": preset.threshold, "refine": preset.refine}
        results[name] = miou(scenes, explanations, images, **settings)
    assert results["scenes"] > results["fast"]


def test_a_preset_is_its_settings(scenes):
    explainer = cs.load("demo", preset="fast")
    sample = scenes[0]
    explanation = explainer(sample.image, sorted(sample.present))
    preset = PRESETS["fast"]
    [actual] = cs.segment(explanation, preset="fast", images=sample.image, background="threshold")
    [expected] = cs.segment(
        explanation,
        images=sample.image,
        background="threshold",
        threshold=preset.threshold,
        refine=preset.refine,
        min_presence=preset.min_presence,
    )
    assert torch.equal(actual, expected)


def test_presets_with_a_companion_and_a_segmenter(scenes):
    image, texts = scenes[0].image, sorted(scenes[0].present)
    explainer = cs.load("demo", preset="best", companion=tiny_companion("dino"))
    assert explainer.method.name == "proxy_clip"
    explanation = explainer(image, texts)
    with pytest.raises(InputError, match="needs a segmenter"):
        cs.segment(explanation, preset="best", images=image)

    def everything(image, prompts):
        mask = torch.ones(1, *image.size, dtype=torch.bool)
        return [Candidates(masks=mask, scores=torch.ones(1)) for _ in prompts]

    [whole] = cs.segment(explanation, preset="best", images=image, segmenter=everything)
    assert len(whole.unique()) == 1
    assert cs.segment(explanation, preset="balanced", images=image)[0].shape == image.size[::-1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"preset": "fastest"}, UnknownNameError, "fast"),
        ({"preset": "fast", "refine": "guided"}, InputError, "not both"),
        ({"preset": "fast", "threshold": 0.3}, InputError, "not both"),
        ({"preset": "fast"}, InputError, "images of the explanation"),
        ({"segmenter": Recorder()}, InputError, "images of the explanation"),
    ],
)
def test_bad_settings(arguments, error, message, scenes):
    explanation = cs.load("demo")(scenes[0].image, ["dog", "boat", "cow"])
    with pytest.raises(error, match=message):
        cs.segment(explanation, **arguments)


def test_the_command_line_knows_the_presets():
    assert [name.value for name in PresetName] == list(PRESETS)
    for name, preset in PRESETS.items():
        assert MethodOptions().build_for(name).name == preset.method.partition("(")[0]
        assert MethodOptions(method="gem").build_for(name).name == "gem"
        settings = ExplainerSettings(preset=name, method="gem")
        assert settings.explainer(cs.load("demo").backbone).method.name == "gem"
    with pytest.raises(UnknownNameError, match="balanced"):
        cs.load("demo", preset="slow")
