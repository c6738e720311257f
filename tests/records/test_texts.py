"""Records are plain values, with coordinates in pixels of the image."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.loading import load
from clip_surgery.records.mask_files import decode_rle
from clip_surgery.records.regions import masks_record, points_record, segmentation_record
from clip_surgery.records.texts import inspection_record, tags_record, words_record
from clip_surgery.tasks.boxes import Box
from clip_surgery.tasks.inspection import attention, redundancy
from clip_surgery.tasks.masks import Mask
from clip_surgery.tasks.points import Points
from clip_surgery.tasks.tags import Tag
from clip_surgery.tasks.words import words

IMAGE = Image.radial_gradient("L").resize((40, 30))


@pytest.fixture(scope="module")
def explainer():
    return load("demo", templates="name", cache=False)


@pytest.fixture(scope="module")
def explanation(explainer):
    return explainer(IMAGE, ["pig", "boat"])


def plain(record):
    """The record after it was written to JSON and read back."""
    assert record["size"] == {"height": 30, "width": 40}
    assert record["backbone"] == "demo"
    return json.loads(json.dumps(record, allow_nan=False))


POINTS = Points(xy=np.array([[1.25, 2], [30, 20]], np.float32), labels=np.array([1, 0]))


def test_points(explanation):
    box = Box(xyxy=(1, 2, 3, 4), score=0.5, area=4)
    record = plain(points_record(explanation, [(("pig", "boat"), POINTS, {"pig": [box]})]))
    assert record["objects"] == [
        {
            "texts": ["pig", "boat"],
            "points": [[1.2, 2.0], [30.0, 20.0]],
            "labels": [1, 0],
            "boxes": [{"text": "pig", "xyxy": [1, 2, 3, 4], "score": 0.5}],
        }
    ]


def test_segmentation(explanation):
    classes = torch.full((30, 40), -1)
    classes[5:10, 20:40] = 1
    [record] = plain(segmentation_record(explanation, classes, [("pig",), ("boat", "ship")]))[
        "classes"
    ]
    assert (record["id"], record["names"], record["area"]) == (2, ["boat", "ship"], 100)
    assert record["bbox"] == [20, 5, 20, 5]
    assert (decode_rle(record["segmentation"]) == (classes == 1).numpy()).all()


@pytest.mark.parametrize("value", [True, False])
def test_masks(explanation, value):
    mask = Mask(text="pig", mask=torch.full((30, 40), value), score=0.75, points=POINTS, box=None)
    record = plain(masks_record(explanation, [mask, None], ["pig", "boat"]))
    assert record["absent"] == ["boat"]
    assert record["masks"][0]["area"] == 1200 * value
    assert record["masks"][0]["bbox"] == ([0, 0, 40, 30] if value else [0, 0, 0, 0])


def test_tags(explanation):
    record = plain(tags_record(explanation, [Tag(text="pig", score=0.12345678)]))
    assert record["tags"] == [{"text": "pig", "score": 0.123457}]


def test_words(explainer):
    contributions = plain(words_record(words(explainer, IMAGE, "a pig")))
    assert [word["text"] for word in contributions["words"]] == ["a", "pig"]
    shares = [word["variance_share"] for word in contributions["words"]]
    assert sum(shares) == pytest.approx(contributions["fit"], abs=1e-3)
    record = plain(words_record(words(explainer, IMAGE, "a pig", evidence="similarity")))
    assert [word["text"] for word in record["words"]] == ["[start]", "a", "pig", "[end]"]
    assert sorted(record["ranking"]) == ["a", "pig"]


def test_inspection(explainer):
    [shared] = redundancy(explainer, [IMAGE], ["pig", "boat"])
    attention_maps = attention(explainer, IMAGE, (10, 20))
    record = plain(inspection_record(shared, attention_maps))
    assert record["point"] == [10.0, 20.0]
    assert list(record["explained_by_empty_text"]) == ["pig", "boat"]
    rows, columns = shared.explanation.patch_scores[0].shape[1:]
    for attention_record in record["attention"]:
        assert np.array(attention_record["weights"]).shape == (rows, columns)
