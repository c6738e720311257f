"""Records are plain values that say what was found, in the image's own pixels."""

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

PICTURE = Image.radial_gradient("L").resize((40, 30))


@pytest.fixture(scope="module")
def explainer():
    return load("demo", templates="name", cache=False)


@pytest.fixture(scope="module")
def explanation(explainer):
    return explainer(PICTURE, ["pig", "boat"])


def plain(record):
    """What comes out of a file."""
    assert record["size"] == {"height": 30, "width": 40}
    assert record["backbone"] == "demo"
    return json.loads(json.dumps(record, allow_nan=False))


CLICKS = Points(xy=np.array([[1.25, 2], [30, 20]], np.float32), labels=np.array([1, 0]))


def test_points(explanation):
    box = Box(xyxy=(1, 2, 3, 4), score=0.5, area=4)
    found = plain(points_record(explanation, [(("pig", "boat"), CLICKS, {"pig": [box]})]))
    assert found["objects"] == [
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
    [found] = plain(segmentation_record(explanation, classes, [("pig",), ("boat", "ship")]))[
        "classes"
    ]
    assert (found["id"], found["names"], found["area"]) == (2, ["boat", "ship"], 100)
    assert found["bbox"] == [20, 5, 20, 5]
    assert (decode_rle(found["segmentation"]) == (classes == 1).numpy()).all()


@pytest.mark.parametrize("value", [True, False])
def test_masks(explanation, value):
    mask = Mask(text="pig", mask=torch.full((30, 40), value), score=0.75, points=CLICKS, box=None)
    found = plain(masks_record(explanation, [mask, None], ["pig", "boat"]))
    assert found["absent"] == ["boat"]
    assert found["masks"][0]["area"] == 1200 * value
    assert found["masks"][0]["bbox"] == ([0, 0, 40, 30] if value else [0, 0, 0, 0])


def test_tags(explanation):
    found = plain(tags_record(explanation, [Tag(text="pig", score=0.12345678)]))
    assert found["tags"] == [{"text": "pig", "score": 0.123457}]


def test_words(explainer):
    found = plain(words_record(words(explainer, PICTURE, "a pig")))
    assert [word["text"] for word in found["words"]] == ["[start]", "a", "pig", "[end]"]
    assert sorted(found["ranking"]) == ["a", "pig"]


def test_inspection(explainer):
    [shared] = redundancy(explainer, [PICTURE], ["pig", "boat"])
    looked = attention(explainer, PICTURE, (10, 20))
    found = plain(inspection_record(shared, looked))
    assert found["point"] == [10.0, 20.0]
    assert list(found["explained_by_empty_text"]) == ["pig", "boat"]
    rows, columns = shared.explanation.patch_scores[0].shape[1:]
    for one in found["attention"]:
        assert np.array(one["weights"]).shape == (rows, columns)
