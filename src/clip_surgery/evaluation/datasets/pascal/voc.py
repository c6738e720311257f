"""Pascal VOC 2012: masks of 20 classes, or 21 with background.

Everingham et al., IJCV 2015. The lists and folders are not read with
torchvision.datasets.VOCSegmentation, which accepts only one of the three folders that users give
and reports the others as corrupt. A test compares both.

Background: with 20 classes, a pixel without class belongs to no object. Metrics of heatmaps need
these pixels. Segmentation with `background="none"` ignores them, as the published "VOC20" numbers
do (`reduce_zero_label` in mmsegmentation); with "threshold" or "words", they are the pixels that
should be predicted as background. With 21 classes, background is the first class, prompted with the
words in names/voc21.txt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice, first_folder
from clip_surgery.evaluation.datasets.files.listing import read_lines
from clip_surgery.evaluation.datasets.files.mask_files import MaskFiles

VOC_SITE = "http://host.robots.ox.ac.uk/pascal/VOC"
_BORDER = 255  # borders of objects, and pixels that the annotators left open


class VocSegmentation(MaskFiles):
    """The masks of Pascal VOC 2012: 1,449 images in the split "val".

    Args:
        root: the folder that contains VOCdevkit, or VOCdevkit, or VOC2012.
        classes: 20 objects, or 21 with background as a class.
        split: "train", "val" or "trainval".

    Raises:
        InputError: if the folder is missing or incomplete, or a setting is wrong.
        UnknownNameError: if the split is unknown.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        classes: Literal[20, 21] = 20,
        split: str = "val",
    ) -> None:
        check_choice("split", split, ("train", "val", "trainval"))
        self.base = find_devkit(root, "VOC2012")
        listing = f"ImageSets/Segmentation/{split}.txt"
        Layout(
            dataset="Pascal VOC 2012",
            source=f"VOCtrainval_11-May-2012.tar of {VOC_SITE}/voc2012; give the folder with "
            "VOCdevkit in it, VOCdevkit, or VOC2012",
            paths=("JPEGImages", "SegmentationClass", listing),
        ).check(self.base)
        values = background_first(classes, (20, 21))
        super().__init__(
            name=f"voc{classes}",
            classes=read_class_names(f"voc{classes}"),
            stems=read_lines(self.base / listing),
            values={**values, _BORDER: NOT_JUDGED},
            settings={"classes": classes, "split": split},
        )
        self.check_files(f"Pascal VOC 2012 in {self.base}")

    def image_path(self, stem: str) -> Path:
        """Return JPEGImages/STEM.jpg."""
        return self.base / "JPEGImages" / f"{stem}.jpg"

    def mask_path(self, stem: str) -> Path:
        """Return SegmentationClass/STEM.png."""
        return self.base / "SegmentationClass" / f"{stem}.png"


def find_devkit(root: str | Path, year: str) -> Path:
    """Return the folder of a year, such as VOC2012, below `root`.

    `root` is this folder, VOCdevkit, or the folder that contains VOCdevkit. If none exists, `root`
    is returned, and the check of the layout reports what is missing.
    """
    return Path(root) / first_folder(root, f"VOCdevkit/{year}", year, ".")


def background_first(classes: int, sizes: tuple[int, int]) -> Mapping[int, int]:
    """Return the class index of each mask value, where value 0 is background and i is object i.

    Args:
        classes: number of classes, one of `sizes`.
        sizes: number of classes without background, and with background as the first class.

    Raises:
        InputError: if the number of classes is not one of them.

    Example:
        >>> background_first(2, (2, 3)), background_first(3, (2, 3))
        ({0: -1, 1: 0, 2: 1}, {0: 0, 1: 1, 2: 2})
    """
    if classes not in sizes:
        raise InputError(f"Expected {sizes[0]} or {sizes[1]} classes, but got {classes!r}.")
    first = NO_OBJECT if classes == sizes[0] else 0
    return {value: value + first for value in range(sizes[1])}
