"""The runner against metrics fed by hand, and reports there and back."""

import numpy as np
import pytest
import torch
from PIL import Image

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.evaluation.case import Case
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.evaluation.report import Report, load_reports, markdown_table, save_reports
from clip_surgery.evaluation.run import evaluate
from clip_surgery.methods.registry import parse_methods
from tests.towers import tiny_open_clip


class Squares:
    """Pictures of different shapes with one coloured rectangle each."""

    name = "squares"
    names = ("red", "green", "blue")

    def __len__(self):
        return 5

    def __getitem__(self, index):
        height, width = (40, 40) if index % 2 else (40, 64)
        pixels = np.full((height, width, 3), 128, dtype=np.uint8)
        mask = np.full((height, width), -1, dtype=np.int64)
        colour = index % 3
        mask[8:24, 8:30] = colour
        pixels[mask == colour] = 255 * np.eye(3, dtype=np.uint8)[colour]
        name = self.names[colour]
        return Sample(image=Image.fromarray(pixels), mask=mask, present=frozenset({name}))


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(tiny_open_clip(seed=0), templates="name", cache=False, batch_size=2)


def test_the_runner_measures_what_a_loop_by_hand_does(explainer):
    dataset, done = Squares(), []
    methods = parse_methods("similarity, clip_surgery(depth=1)")
    reports = evaluate(explainer, dataset, methods, on_progress=done.append)
    assert sum(done) == len(dataset)
    assert [report.row for report in reports] == ["similarity", "clip_surgery(depth=1)"]
    for report, method in zip(reports, methods.values(), strict=True):
        pointing = Pointing(dataset.names)
        for index in range(len(dataset)):
            sample = dataset[index]
            explanation = explainer.with_method(method)([sample.image], dataset.names)
            pointing.update(Case(explanation=explanation, sample=sample, names=dataset.names))
        assert report.values["pointing"] == pytest.approx(pointing.compute()["pointing"])
        assert report.values["ms per image"] > 0
        assert report.pictures == 5
        assert report.settings["method"] == repr(method)
        assert np.isfinite(list(report.values.values())).all()


def test_batch_size_has_no_say(explainer):
    methods = parse_methods("clip_surgery")
    one = cs.wrap(explainer.backbone.model, templates="name", cache=False, batch_size=1)
    few, many = (evaluate(e, Squares(), methods)[0].values for e in (one, explainer))
    few.pop("ms per image"), many.pop("ms per image")
    assert few == pytest.approx(many, abs=1e-3)


def test_nothing_to_do_is_refused(explainer):
    with pytest.raises(InputError, match="at least one"):
        evaluate(explainer, Squares(), {})


def test_reports_there_and_back(tmp_path):
    reports = [
        Report(row="a", values={"AP": 12.345, "threshold": 0.5}, pictures=3, settings={"x": "y"}),
        Report(row="b", values={"AP": 1.0}, pictures=3, settings={}),
    ]
    save_reports(reports, tmp_path / "r.json")
    assert load_reports(tmp_path / "r.json") == reports
    assert torch.__version__.startswith(reports[0].versions["torch"])
    table = markdown_table(reports).splitlines()
    assert table[2] == "| a | 12.3 | 0.50 |"
    assert table[3] == "| b | 1.0 | - |"


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '[{"format": "other"}]', '[{"row": 1}]'])
def test_a_file_that_is_no_report_is_named(tmp_path, content):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"bad\.json"):
        load_reports(path)
