"""`evaluate` against metrics that are updated by hand, unreadable images, and Ctrl-C."""

import re
import signal

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.evaluation.execution.run import EvaluationInterrupted, evaluate
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.evaluation.protocols.protocol import Protocol
from clip_surgery.methods.registry import parse_methods
from clip_surgery.processes.interrupts import interrupts_held_back
from clip_surgery.windows import Windows, explain_windows
from tests.evaluation.squares import NamedSquares, Squares, load_tiny, numbers, reads

METHODS = parse_methods("similarity, clip_surgery(depth=1)")


@pytest.fixture(scope="module")
def explainer():
    return load_tiny()


def test_the_runner_measures_what_a_loop_by_hand_does(explainer):
    dataset, done = Squares(), []
    reports = evaluate(explainer, dataset, METHODS, on_progress=done.append)
    assert sum(done) == len(dataset)
    assert [report.row for report in reports] == ["similarity", "clip_surgery(depth=1)"]
    for report, method in zip(reports, METHODS.values(), strict=True):
        pointing = Pointing(dataset.names)
        for index in range(len(dataset)):
            sample = dataset[index]
            explanation = explainer.with_method(method)([sample.image], dataset.names)
            pointing.update(
                EvaluatedImage(explanation=explanation, sample=sample, names=dataset.names)
            )
        assert report.values["pointing"] == pytest.approx(pointing.compute()["pointing"])
        assert report.values["ms per image"] > 0
        assert report.images == 5
        assert report.complete
        assert not report.failures
        assert report.settings["method"] == repr(method)
        assert np.isfinite(list(report.values.values())).all()


@pytest.mark.parametrize("part_size", [1, 2, 5])
def test_batch_size_and_part_size_do_not_change_results(explainer, part_size):
    one = cs.wrap(explainer.backbone.model, templates="name", cache=False, batch_size=1)
    few = evaluate(one, Squares(), METHODS, part_size=part_size)[0].values
    many = evaluate(explainer, Squares(), METHODS)[0].values
    few.pop("ms per image"), many.pop("ms per image")
    assert few == pytest.approx(many, abs=1e-3)


def test_each_image_is_read_once_for_all_methods(explainer, tmp_path):
    evaluate(explainer, Squares(7, log=tmp_path / "log"), METHODS, part_size=2)
    assert sorted(reads(tmp_path / "log")) == list(range(7))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": {}}, "at least one"),
        ({"dataset": Squares(0)}, "at least one"),
        ({"part_size": 0}, "parts of at least 1"),
        ({"workers": 2}, "`load`"),
        ({"metrics": []}, "neither"),
    ],
)
def test_what_cannot_be_run_is_refused(explainer, change, said):
    given = {"dataset": Squares(), "methods": METHODS, **change}
    with pytest.raises(InputError, match=said):
        evaluate(explainer, **given)


def test_bad_images_are_counted_named_and_left_out(explainer):
    done = []
    reports = evaluate(
        explainer, Squares(6, bad=[1, 4]), METHODS, part_size=2, on_progress=done.append
    )
    assert sum(done) == 6
    good = [index for index in range(6) if index not in (1, 4)]
    for report, method in zip(reports, METHODS.values(), strict=True):
        assert report.images == 4
        assert [line.split(": ")[:2] for line in report.failures] == [
            ["image 1", "1.jpg"],
            ["image 4", "4.jpg"],
        ]
        pointing = Pointing(Squares.names)
        for index in good:
            sample = Squares()[index]
            explanation = explainer.with_method(method)([sample.image], Squares.names)
            pointing.update(
                EvaluatedImage(explanation=explanation, sample=sample, names=Squares.names)
            )
        assert report.values["pointing"] == pytest.approx(pointing.compute()["pointing"])


class WrongMask(Squares):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        sample.mask[0, 0] = 3 if index == 2 else -1
        return sample


class NoDisk(Squares):
    def __getitem__(self, index):
        if index == 0:
            raise OSError(5, "Input/output error", "0.jpg")
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [(WrongMask(), "image 2: expected mask values below 3"), (NoDisk(), "image 0: .*0.jpg")],
)
def test_masks_and_disks_fail_like_images(explainer, dataset, said):
    [report] = evaluate(explainer, dataset, parse_methods("similarity"))
    assert report.images == 4
    [line] = report.failures
    assert re.match(said, line)


def test_a_data_set_without_one_good_image_is_refused(explainer):
    with pytest.raises(InputError, match=r"none of 3 images .* 0\.jpg: damaged"):
        evaluate(explainer, Squares(3, bad=range(3)), METHODS)


class Buggy(Squares):
    def __getitem__(self, index):
        raise ZeroDivisionError("its own")


def test_an_error_in_the_data_set_is_not_counted_as_an_unreadable_image(explainer):
    with pytest.raises(ZeroDivisionError, match="its own"):
        evaluate(explainer, Buggy(), METHODS)


@pytest.mark.parametrize("with_journal", [False, True])
def test_ctrl_c_returns_the_reports_of_the_finished_parts(explainer, tmp_path, with_journal):
    done = []

    def press(images):
        done.append(images)
        if sum(done) == 4:
            signal.raise_signal(signal.SIGINT)

    journal = tmp_path / "journal" if with_journal else None
    settings = {"part_size": 2, "journal": journal}
    with pytest.raises(KeyboardInterrupt) as raised:
        evaluate(explainer, Squares(9), METHODS, on_progress=press, **settings)
    assert isinstance(raised.value, EvaluationInterrupted)
    partial = raised.value.reports
    assert not any(report.complete for report in partial)
    # Equal to an evaluation of the first four.
    assert numbers(partial) == numbers(evaluate(explainer, Squares(4), METHODS, part_size=2))
    whole = evaluate(explainer, Squares(9), METHODS, **settings)
    assert numbers(whole) == numbers(evaluate(explainer, Squares(9), METHODS, part_size=2))


def test_ctrl_c_before_the_first_part_gives_no_report(explainer):
    class Pressed(Squares):
        def __getitem__(self, index):
            raise KeyboardInterrupt

    with pytest.raises(EvaluationInterrupted, match="after 0 images") as raised:
        evaluate(explainer, Pressed(), METHODS)
    assert raised.value.reports == []


def test_a_delayed_ctrl_c_is_raised_after_the_block():
    steps = []

    def work():
        with interrupts_held_back():
            signal.raise_signal(signal.SIGINT)
            steps.append("within")
        steps.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["within"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def protocol(**settings):
    return Protocol(name="tested", source="a test", metrics=("segmentation", "tags"), **settings)


def test_a_protocol_sets_texts_framing_and_metrics(explainer):
    asked = protocol(size=48, framing="squash", templates="photo", labels="all")
    [report] = evaluate(explainer, Squares(), parse_methods("maskclip"), protocol=asked)
    assert "segmentation mIoU" in report.values
    assert "tags mAP cosine" in report.values
    assert "mSC" not in report.values
    assert report.settings["protocol"] == repr(asked)
    assert "squash" in report.settings["framing"]
    assert report.settings["templates"].startswith("1: a photo of")


@pytest.mark.parametrize("windows", [None, Windows(size=64, crop=32, stride=16)])
def test_aliases_background_words_and_windows(explainer, windows):
    dataset = NamedSquares()
    asked = protocol(
        prompts="aliases", background="words", labels="all", windows=windows, templates="name"
    )
    [report] = evaluate(explainer, dataset, parse_methods("maskclip"), protocol=asked)
    seen = asked.apply(explainer).with_method("maskclip")
    texts = seen.encode(["red", "crimson", "green", "blue", "azure", "grey", "noise"])
    metric = SegmentationIoU(dataset.names, labels="all", background="words")
    for index in range(len(dataset)):
        sample = dataset[index]
        if windows is None:
            explanation = seen([sample.image], texts.texts)
        else:
            explanation = explain_windows(seen, sample.image, texts, windows=windows)
        metric.update(
            EvaluatedImage(
                explanation=explanation,
                sample=sample,
                names=dataset.names,
                prompts=dataset.classes.aliases,
                background=dataset.classes.background,
            )
        )
    for name, value in metric.compute().items():
        assert report.values[name] == pytest.approx(value)


def test_without_aliases_names_stand_for_themselves(explainer):
    plain = evaluate(explainer, Squares(), METHODS, protocol=protocol(prompts="names"))
    asked = evaluate(explainer, Squares(), METHODS, protocol=protocol(prompts="aliases"))
    assert numbers(plain) == numbers(asked)


def test_background_words_that_nobody_has_are_refused(explainer):
    with pytest.raises(InputError, match="background words"):
        evaluate(explainer, Squares(), METHODS, protocol=protocol(background="words"))


def test_the_model_is_only_read(explainer):
    before = {name: value.clone() for name, value in explainer.backbone.model.state_dict().items()}
    evaluate(explainer, Squares(), METHODS)
    for name, value in explainer.backbone.model.state_dict().items():
        assert torch.equal(before[name], value)
