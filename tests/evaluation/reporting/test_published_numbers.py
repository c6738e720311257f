"""Published numbers: the data, when they can be compared, and the page of commands."""

import re
import shlex
from pathlib import Path

import pytest

from clip_surgery.backbones.model_names import parse_name
from clip_surgery.evaluation.datasets.registry import DATASETS
from clip_surgery.evaluation.metrics.registry import METRICS
from clip_surgery.evaluation.protocols.registry import PROTOCOLS, protocol_for
from clip_surgery.evaluation.reporting.published_comparison import (
    COLUMNS,
    compare_with_published,
    comparison_markdown,
    footnotes,
)
from clip_surgery.evaluation.reporting.published_numbers import (
    CONFIDENCE,
    MODELS,
    PUBLISHED,
    find_published,
)
from clip_surgery.evaluation.reporting.report import Report
from clip_surgery.methods.registry import METHODS

PAGE = Path(__file__).parents[3] / "docs" / "reproduce.md"
B16 = "open_clip:ViT-B-16/openai"
SEGMENTATION = PROTOCOLS["paper_segmentation"]


def report(row="clip_surgery", model=B16, **settings):
    values = settings.pop("values", {"segmentation mIoU": 30.0})
    return Report(row=row, values=values, images=9, settings={"backbone": model}, **settings)


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: f"{one.dataset} {one.method}")
def test_every_published_number_names_what_exists(one):
    assert one.dataset in DATASETS
    family, _, dataset = one.protocol.partition(" on ")
    protocol = protocol_for(family, dataset or one.dataset)
    assert protocol.name == one.protocol
    assert one.model in MODELS
    assert one.method.partition("(")[0] in METHODS
    assert one.confidence in CONFIDENCE
    assert -100 <= one.value <= 100
    # A source can be opened: the paper by its arXiv number, and the table in it. Numbers of the
    # released codes are from tables of repositories, whose protocols name the paper.
    if not dataset:
        assert re.search(r"\(arXiv \d{4}\.\d{5}\), .*[Tt]able", one.source)
    assert "table" in one.source.lower()
    metrics = {
        "segmentation mIoU": "segmentation",
        "tags mAP softmax": "tags",
        "tags mAP surgery": "tags",
    }
    assert metrics[one.metric] in protocol.metrics
    assert metrics[one.metric] in METRICS


def test_no_number_stands_twice():
    keys = [(o.dataset, o.protocol, o.model, o.method, o.metric) for o in PUBLISHED]
    assert len(set(keys)) == len(keys)


def test_the_numbers_of_the_papers_headline():
    """Gains that the abstracts state: 4.41 mAP on NUS-WIDE, 8.74 over MaskCLIP on Cityscapes."""
    tags = {one.metric: one.value for one in PUBLISHED if one.dataset == "nus_wide"}
    assert tags["tags mAP surgery"] - tags["tags mAP softmax"] == pytest.approx(4.41)
    cityscapes = {
        one.method: one.value
        for one in PUBLISHED
        if one.dataset == "cityscapes" and one.protocol == "paper_segmentation"
    }
    assert cityscapes["clip_surgery"] - cityscapes["maskclip"] == pytest.approx(8.74, abs=0.05)


def test_a_method_with_its_default_settings_spelled_out_is_found():
    plain = find_published(dataset="context59", method="clip_surgery")
    assert plain
    assert find_published(dataset="context59", method="clip_surgery(depth=6)") == plain
    assert find_published(dataset="context59", method="clip_surgery(depth=8)") == ()
    assert find_published(dataset="scenes", method="clip_surgery") == ()
    assert find_published(dataset="context59", method="my row!") == ()


def test_equal_evaluations_are_compared():
    [found] = compare_with_published([report()], dataset="cityscapes", protocol=SEGMENTATION)
    assert found.differences == ()
    assert found.cells() == (
        *("clip_surgery", "segmentation mIoU", "30.0", "31.4", "-1.4", "A"),
        "CLIP Surgery (arXiv 2304.05653), Table 6",
    )


@pytest.mark.parametrize(
    ("own", "protocol", "differs", "reason"),
    [
        (report(model="demo"), SEGMENTATION, (), "published for ViT-B/16, not demo"),
        (report(), PROTOCOLS["scenes"], (), "by protocol paper_segmentation, not scenes"),
        (report(), SEGMENTATION.changed(size=336), (), "not paper_segmentation(size=336)"),
        (report(complete=False), SEGMENTATION, (), "interrupted after 9 images"),
        (report(failures=("a.jpg: bad", "b.jpg: bad")), SEGMENTATION, (), "2 images left out"),
        (report(), SEGMENTATION, ("only 9 images",), "only 9 images"),
        (report(values={"AP": 3.0}), SEGMENTATION, (), "no such number"),
    ],
)
def test_different_evaluations_are_not_compared(own, protocol, differs, reason):
    found = compare_with_published(
        [own], dataset="cityscapes", protocol=protocol, differences=differs
    )
    cells = found[0].cells()
    assert cells[4] == "-"
    assert "not comparable" in cells[6]
    assert reason in cells[6]


def test_a_row_without_a_published_number_says_so():
    [found] = compare_with_published([report("gem")], dataset="nus_wide", protocol=SEGMENTATION)
    assert found.cells() == ("gem", *"-----", "nothing published for this data set and method")


def test_numbers_of_the_same_protocol_hide_those_of_others():
    found = compare_with_published([report()], dataset="context59", protocol=SEGMENTATION)
    assert [one.published.value for one in found] == [29.3]


def test_the_table_and_its_notes():
    own = [report(), report("grad_cam")]
    found = compare_with_published(own, dataset="context59", protocol=SEGMENTATION)
    lines = comparison_markdown(found).splitlines()
    assert lines[0].split(" | ")[1:] == [*COLUMNS[1:-1], f"{COLUMNS[-1]} |"]
    assert len(lines) == 2 + len(found)
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}
    assert footnotes(found) == [f"Confidence A: {CONFIDENCE['A']}."]


def commands_of_the_page():
    """(data set, {option: value}) of each command that names a real data set."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("    clip-surgery evaluate ") and "DATASET" not in line:
            _, _, dataset, *rest = shlex.split(line)
            yield dataset, dict(zip(rest[::2], rest[1::2], strict=True))


def test_every_published_number_has_its_command_on_the_page():
    found = set()
    for dataset, options in commands_of_the_page():
        assert dataset in DATASETS
        protocol, model = options["--protocol"], options["--model"]
        assert protocol in PROTOCOLS
        parse_name(model)
        if options.get("--against") == "paper":
            found |= {(dataset, protocol, key) for key, names in MODELS.items() if model in names}
    assert found == {
        (one.dataset, one.protocol, one.model) for one in PUBLISHED if " on " not in one.protocol
    }
    assert "--protocol FAMILY --against paper" in PAGE.read_text(encoding="utf-8")


def test_the_page_has_the_numbers_of_the_package():
    text = PAGE.read_text(encoding="utf-8")
    numbers = set(re.findall(r"-?\d+\.\d+", text))
    assert {
        f"{one.value:g}" if one.value % 1 else f"{one.value:.1f}" for one in PUBLISHED
    } <= numbers
    for meaning in CONFIDENCE.values():
        assert meaning in text
    for protocol in PROTOCOLS:
        assert f"| `{protocol}` |" in text


def test_the_methods_of_the_page_run_by_default():
    """So the commands need no --method to give every published row."""
    for one in PUBLISHED:
        family = one.protocol.partition(" on ")[0]
        assert one.method in protocol_for(family, one.dataset).methods
