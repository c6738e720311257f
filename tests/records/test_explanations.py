import json

import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.records.explanations import records


def explained(scores):
    return Explanation(
        patch_scores=(scores,),
        similarity=None,
        image_scores=torch.tensor([[0.25, -0.1]]),
        texts=("dog", "größe"),
        framings=(Framing.squash(Size(40, 60), frame=Size(64, 64)),),
        images=("street.jpg",),
        method="Similarity()",
        backbone="demo",
    )


def test_record_of_an_image():
    scores = torch.zeros(2, 2, 4)
    scores[0, 1, 3] = 0.5
    [record] = records(explained(scores))
    assert record == {
        "image": "street.jpg",
        "size": {"height": 40, "width": 60},
        "grid": {"rows": 2, "columns": 4},
        "backbone": "demo",
        "method": "Similarity()",
        "texts": [
            {"text": "dog", "score": 0.25, "peak": {"x": 52.5, "y": 30.0, "score": 0.5}},
            {"text": "größe", "score": -0.1, "peak": None},
        ],
    }
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_records_of_several_images_keep_the_order():
    parts = [explained(torch.rand(2, 2, 4)), explained(torch.rand(2, 3, 3))]
    both = records(Explanation.join(parts))
    assert [record["grid"]["rows"] for record in both] == [2, 3]
    assert both[0] == records(parts[0])[0]


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="finite scores"):
        records(explained(torch.full((2, 2, 4), float("nan"))))
