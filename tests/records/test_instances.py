import sys

import numpy as np
import pytest
import torch

from clip_surgery.errors import InputError, MissingExtraError, UnknownNameError
from clip_surgery.framing import Size
from clip_surgery.records.instances import Instances, instances
from clip_surgery.tasks.boxes import BoxRule, boxes
from clip_surgery.tasks.points import points
from clip_surgery.tasks.segmentation import segment
from tests.explanations import explained, random_scores

TEXTS = ("dog", "cat", "cow")


@pytest.fixture
def explanation():
    ratios = torch.tensor([[[9.0, 9.0, -9.0]] * 2, [[-9.0, 9.0, 9.0]] * 2])
    return explained(
        random_scores(3, 6, 6), random_scores(3, 6, 6, seed=1), texts=TEXTS, similarity=True,
        reference_log_ratios=ratios, image_scores=random_scores(2, 3),
    )  # fmt: skip


def test_instances_are_what_the_tasks_return(explanation):
    rule = BoxRule(threshold=0.6)
    found = instances(explanation, point_rule="peaks", box_rule=rule)
    assert [of_image.image for of_image in found] == ["0.jpg", "1.jpg"]
    for image, of_image in enumerate(found):
        assert [entry.text for entry in of_image] == list(TEXTS)
        classes = segment(explanation)[image].numpy()
        for index, entry in enumerate(of_image):
            expected = points(explanation, rule="peaks")[image][index]
            np.testing.assert_array_equal(entry.points.xy, expected.xy)
            assert list(entry.boxes) == boxes(explanation, rule=rule)[image][index]
            assert (entry.mask() == (classes == index)).all()
            assert entry.score == pytest.approx(float(explanation.image_scores[image, index]))
            assert (entry.presence > 0.5) == (explanation.reference_log_ratios[image, 0, index] > 0)


def test_absent_texts_have_nothing_and_take_no_pixels(explanation):
    first, second = instances(explanation, min_presence=0.5)
    assert [entry.found for entry in first] == [True, True, False]
    assert [entry.text for entry in second.found] == ["cat", "cow"]
    assert not first["cow"].mask().any()
    assert (first["dog"].mask() ^ first["cat"].mask()).all()
    everything_absent = instances(explanation, "cow", min_presence=0.5)[0]
    assert everything_absent.found == ()


def test_parts_and_unions(explanation):
    [found, _] = instances(explanation, ["cow", "dog,cat"], parts=["boxes"])
    assert [entry.text for entry in found] == ["cow", "dog+cat"]
    assert all(entry.boxes for entry in found)
    assert all(len(entry.points) == 0 and entry.rle is None for entry in found)
    assert found["dog+cat"].score == pytest.approx(float(explanation.image_scores[0, :2].max()))


def test_errors(explanation):
    with pytest.raises(UnknownNameError, match="Did you mean 'boxes'"):
        instances(explanation, parts=["box"])
    [found, _] = instances(explanation, parts=["boxes"])
    with pytest.raises(UnknownNameError, match="Unknown text 'pig'"):
        found["pig"]
    with pytest.raises(InputError, match="dense similarity"):
        instances(explained(random_scores(2, 3, 3)))
    with pytest.raises(InputError, match="has \\(40, 60\\)"):
        Instances(image="x", size=Size(4, 4), entries=found.entries)


@pytest.mark.filterwarnings("ignore")
def test_supervision_detections(explanation):
    pytest.importorskip("supervision")
    found = instances(explanation)[0]
    detections = found.to_supervision()
    pairs = [(entry, box) for entry in found for box in entry.boxes]
    assert len(detections) == len(pairs) > 3
    assert detections.mask.shape == (len(pairs), 40, 60)
    for number, (entry, box) in enumerate(pairs):
        assert detections.xyxy[number].tolist() == list(box.xyxy)
        assert detections.class_id[number] == entry.index
        assert detections.confidence[number] == pytest.approx(box.score)
        assert detections.data["class_name"][number] == entry.text
        left, top, right, bottom = box.xyxy
        inside = detections.mask[number, top:bottom, left:right]
        assert (inside == entry.mask()[top:bottom, left:right]).all()
        assert inside.sum() == detections.mask[number].sum()
    assert found.to_supervision(masks=False).mask is None
    flat = instances(explained(torch.zeros(2, 3, 3), similarity=True), parts=["boxes"])[0]
    assert len(flat.to_supervision()) == 0


def test_without_supervision_the_error_is_the_pip_command(explanation, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match=r"clip-surgery\[supervision\]"):
        instances(explanation)[0].to_supervision()
