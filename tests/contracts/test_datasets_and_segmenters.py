"""The contracts of `clip_surgery.testing` for the data sets and segmenters of this package."""

import pytest

from clip_surgery.evaluation import SceneDataset, Subset
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.segmenters.sam import SamSegmenter
from clip_surgery.testing import check_dataset, check_segmenter
from tests.evaluation.datasets.small_trees import (
    make_context,
    make_imagenet_s,
    make_voc2007,
    make_voc2012,
    striped,
    write_image,
    write_palette,
)
from tests.segmenters.test_sam import tiny_sam, tiny_sam2


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with small data sets in the formats of Pascal, ImageNet-S, COCO and own folders."""
    root = tmp_path_factory.mktemp("data sets")
    make_voc2012(root, {"2007_000033": striped(1, 255), "2007_000042": striped(2, 3)})
    make_voc2007(root, {"000001": {"dog": 1}})
    make_context(root, {"2008_000002": striped(59)})
    make_imagenet_s(root)
    write_image(root / "images/a.jpg")
    write_palette(root / "masks/a.png", striped(1))
    (root / "names.txt").write_text("cat\n")
    return root


@pytest.mark.parametrize(
    "name",
    ["voc20", "voc21", "voc07", "context59", "context60", "imagenet_s50", "folder"],
)
def test_data_sets_in_folders(root, name):
    check_dataset(open_dataset(name, root))


def test_generated_scenes_and_a_part_of_them():
    scenes = SceneDataset(seed=1, count=5)
    check_dataset(scenes)
    check_dataset(Subset(scenes, 2))


@pytest.mark.parametrize("tiny_model", [tiny_sam, tiny_sam2])
def test_sam(tiny_model):
    check_segmenter(SamSegmenter.wrap(tiny_model()))
