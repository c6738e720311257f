import numpy as np
import pytest
import torch

from clip_surgery.apps.batch.job import DEFAULT_TASKS, TaskSettings
from clip_surgery.apps.batch.rows import error_row, image_row, maps_of, schema, table
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.inputs.images import InputImage
from clip_surgery.records.mask_files import decode_rle
from clip_surgery.tasks.boxes import BoxRule, boxes
from clip_surgery.tasks.masks import masks
from clip_surgery.tasks.point_rules import PeakPoints
from clip_surgery.tasks.points import points
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import segment
from tests.apps.batch.jobs import TEXTS, loaded, same_colour

SETTINGS = TaskSettings(points=PeakPoints(positives=2), boxes=BoxRule(threshold=0.7))


@pytest.fixture(scope="module")
def picture():
    image = SceneDataset(seed=11, count=1)[0].image.resize((120, 90))
    return InputImage(image=image, name="scene.png")


@pytest.fixture(scope="module")
def explanation(picture):
    return loaded()([picture], TEXTS)


def read_back(rows, settings=SETTINGS, *, segmenter=False):
    return table(rows, schema(settings, segmenter=segmenter)).to_pylist()


def test_a_row_says_what_the_tasks_say(picture, explanation):
    [read] = read_back([image_row(picture, explanation, SETTINGS, None)])
    assert read["path"] == "scene.png"
    assert read["size"] == {"height": 90, "width": 120}
    assert read["texts"] == list(TEXTS)
    assert read["error"] is None
    assert read["scores"] == explanation.image_scores[0].tolist()
    assert read["presence"] == presence(explanation)[0].tolist()
    for index, text in enumerate(TEXTS):
        [[clicks]] = points(explanation, text, rule=SETTINGS.points)
        assert [[p["x"], p["y"]] for p in read["points"][index]] == clicks.xy.tolist()
        assert [p["label"] for p in read["points"][index]] == clicks.labels.tolist()
        [[cut]] = boxes(explanation, text, rule=SETTINGS.boxes)
        sides = [[b["left"], b["top"], b["right"], b["bottom"]] for b in read["boxes"][index]]
        assert sides == [list(box.xyxy) for box in cut]
        scores = [b["score"] for b in read["boxes"][index]]
        assert scores == pytest.approx([box.score for box in cut])
    assert sum(map(len, read["points"])) > 3


def test_masks_are_the_segmentation(picture, explanation):
    [read] = read_back([image_row(picture, explanation, SETTINGS, None)])
    [classes] = segment(explanation)
    for index, mask in enumerate(read["masks"]):
        own = (classes == index).numpy()
        assert (mask is None) == (not own.any())
        if mask is not None:
            assert (decode_rle(mask) == own).all()


def test_a_text_that_wins_nowhere_has_no_mask(picture):
    texts = ("dog", "car", "tree", "boat", "pig", "clock", "fish", "sun", "bus", "house")
    explanation = loaded()([picture], texts)
    [read] = read_back([image_row(picture, explanation, SETTINGS, None)])
    found = set(segment(explanation)[0].unique().tolist())
    assert len(found) < len(texts)
    assert {i for i, mask in enumerate(read["masks"]) if mask is not None} == found


def test_maps_of_a_row(picture, explanation):
    [read] = read_back([image_row(picture, explanation, SETTINGS, None)])
    expected = explanation.patch_scores[0].half().float()
    assert torch.equal(maps_of(read), expected)
    assert read["grid"] == {"rows": 12, "columns": 16}
    assert maps_of({"maps": None}) is None


def test_a_segmenters_masks(picture, explanation):
    likely = presence(explanation)[0]
    between = float(likely.sort().values[:2].mean())
    settings = TaskSettings(min_presence=between)
    [read] = read_back([image_row(picture, explanation, settings, same_colour)], segmenter=True)
    [found] = masks(explanation, [picture], same_colour, TEXTS, min_presence=between)
    assert [mask is None for mask in found].count(True) == 1
    for cut, mask in zip(read["cut_outs"], found, strict=True):
        assert (cut is None) == (mask is None)
        if mask is not None:
            assert (decode_rle(cut) == mask.mask.numpy()).all()
            assert cut["score"] == 0.5
    for index, one in enumerate(likely.tolist()):
        assert bool(read["points"][index]) == (one >= between)
        assert bool(read["boxes"][index]) == (one >= between)


@pytest.mark.parametrize("task", DEFAULT_TASKS)
def test_only_the_tasks_asked_for(picture, explanation, task):
    settings = TaskSettings(tasks=(task,))
    given = image_row(picture, explanation, settings, None)
    columns = schema(settings, segmenter=False).names
    assert set(given) | {"error"} == set(columns)
    assert task in columns


def test_rows_of_pictures_and_of_errors(picture, explanation):
    good, bad = image_row(picture, explanation, SETTINGS, None), error_row("x", "not\n an image")
    rows = read_back([bad, good, bad, good])
    assert rows[1] == rows[3] == read_back([good])[0]
    assert rows[0] == rows[2] == {**dict.fromkeys(rows[0]), "path": "x", "error": "not an image"}
    assert read_back([bad])[0]["maps"] is None
    assert read_back([]) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [(1e6, "float16 can hold, but got 1e"), (float("nan"), "finite"), (float("inf"), "finite")],
)
def test_values_that_a_row_must_not_have(picture, explanation, value, message):
    broken = loaded()([picture], TEXTS)
    broken.patch_scores[0][1, 2, 3] = value
    with pytest.raises(InputError, match=rf"scene\.png: .*{message}"):
        image_row(picture, broken, TaskSettings(tasks=("maps",)), None)


def test_many_maps_are_not_python_objects():
    """A column of numpy arrays of different lengths, with gaps, comes back as it went in."""
    of = schema(TaskSettings(tasks=("maps",)), segmenter=False)
    values = [np.arange(n).astype(np.float16) for n in (3, 0, 5)]
    rows = [
        {"path": "a", "maps": values[0]},
        error_row("b", "no"),
        {"path": "c", "maps": values[1]},
    ]
    rows.append({"path": "d", "maps": values[2]})
    read = [one["maps"] for one in table(rows, of).to_pylist()]
    assert read == [[0, 1, 2], None, [], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"tasks": ()}, InputError, "at least one task"),
        ({"tasks": ("score",)}, UnknownNameError, "Did you mean 'scores'"),
        ({"min_presence": 1.5}, InputError, "within 0 to 1"),
        ({"min_presence": float("nan")}, InputError, "within 0 to 1"),
    ],
)
def test_what_cannot_be_asked(settings, error, message):
    with pytest.raises(error, match=message):
        TaskSettings(**settings)
