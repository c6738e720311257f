"""Pascal VOC: masks of 2012 (20 classes, or 21 with background) and tags of 2007.

Everingham et al., IJCV 2010 and 2015. The lists and folders are read here rather than through
torchvision.datasets.VOCSegmentation, which opens one of the three places a VOCdevkit is given by
and says of the others that the data is corrupt; a test holds both against each other.

Background: with 20 classes a pixel without class is no object, which metrics of heat maps need and
segmentation with `background="none"` does not count (as the field's "VOC20" numbers, where
mmsegmentation's `reduce_zero_label` leaves it out); with "threshold" or "words" it is what the
answer none is held against. With 21 it is a class like others, first in order, prompted by the
words in names/voc21.txt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED, Sample
from clip_surgery.evaluation.datasets.layout import Layout, check_choice, first_folder
from clip_surgery.evaluation.datasets.listing import check_files, read_lines
from clip_surgery.evaluation.datasets.mask_files import MaskFiles
from clip_surgery.evaluation.datasets.picture_files import PictureFiles
from clip_surgery.inputs.images import read_image

_SITE = "http://host.robots.ox.ac.uk/pascal/VOC"
_BORDER = 255  # the line around objects, and what annotators left open
_ABSENT, _DIFFICULT, _PRESENT = -1, 0, 1


class VocSegmentation(MaskFiles):
    """The masks of Pascal VOC 2012: 1,449 pictures in the split "val".

    Args:
        root: the folder with VOCdevkit in it, VOCdevkit, or VOC2012.
        classes: 20 objects, or 21 with background as a class.
        split: "train", "val" or "trainval".

    Raises:
        InputError: when the folder is missing or half unpacked, or a setting is wrong.
        UnknownNameError: for another split.
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
            source=f"VOCtrainval_11-May-2012.tar of {_SITE}/voc2012; give the folder with "
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
        """JPEGImages/STEM.jpg."""
        return self.base / "JPEGImages" / f"{stem}.jpg"

    def mask_path(self, stem: str) -> Path:
        """SegmentationClass/STEM.png."""
        return self.base / "SegmentationClass" / f"{stem}.png"


class VocTags(PictureFiles):
    """Pascal VOC 2007 for tags: which of the 20 classes are in each of 4,952 "test" pictures.

    There are no masks: no pixel is judged. A class whose objects in a picture are all marked
    difficult (0 in the lists) counts neither way, as in VOC's own average precision.

    Args:
        root: the folder with VOCdevkit in it, VOCdevkit, or VOC2007.
        split: "test", "train", "val" or "trainval".
        difficult: whether what is hard to see is "unsure", "present" or "absent".

    Raises:
        InputError: when the folder is missing or half unpacked, or a list is damaged.
        UnknownNameError: for another split, or another value of `difficult`.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "test",
        difficult: Literal["unsure", "present", "absent"] = "unsure",
    ) -> None:
        check_choice("split", split, ("train", "val", "trainval", "test"))
        check_choice("difficult", difficult, ("unsure", "present", "absent"))
        self.base = find_devkit(root, "VOC2007")
        classes = read_class_names("voc20")
        lists = [f"ImageSets/Main/{name}_{split}.txt" for name in classes.names]
        archive = "VOCtest" if split == "test" else "VOCtrainval"
        Layout(
            dataset="Pascal VOC 2007",
            source=f"{archive}_06-Nov-2007.tar of {_SITE}/voc2007; give the folder with VOCdevkit "
            "in it, VOCdevkit, or VOC2007",
            paths=("JPEGImages", *lists),
        ).check(self.base)
        flags = _read_all_flags([self.base / listing for listing in lists])
        super().__init__(
            name="voc07",
            classes=classes,
            listing=tuple(flags),
            settings={"split": split, "difficult": difficult},
        )
        there = (_PRESENT, _DIFFICULT) if difficult == "present" else (_PRESENT,)
        left_out = (_DIFFICULT,) if difficult == "unsure" else ()
        self._present = tuple(self._names_with(own, there) for own in flags.values())
        self._unsure = tuple(self._names_with(own, left_out) for own in flags.values())
        check_files(
            [self._image_path(stem) for stem in self.listing],
            f"Pascal VOC 2007 in {self.base}: half unpacked, pictures",
        )

    def read(self, place: int) -> Sample:
        """A picture and the names that are in it.

        Raises:
            InputError: when the picture cannot be read.
        """
        return Sample.without_mask(
            read_image(self._image_path(self.listing[place])).image,
            present=self._present[place],
            unsure=self._unsure[place],
        )

    def _image_path(self, stem: str) -> Path:
        return self.base / "JPEGImages" / f"{stem}.jpg"

    def _names_with(self, own: list[int], flags: tuple[int, ...]) -> frozenset[str]:
        return frozenset(name for name, flag in zip(self.names, own, strict=True) if flag in flags)


def find_devkit(root: str | Path, year: str) -> Path:
    """The folder of a year, such as VOC2012, from it, from VOCdevkit or from what VOCdevkit is in.

    Where none of them is there, `root` itself: checking its layout then says what is missing.
    """
    return Path(root) / first_folder(root, f"VOCdevkit/{year}", year, ".")


def background_first(classes: int, sizes: tuple[int, int]) -> Mapping[int, int]:
    """Values of masks in which 0 is background and i is object i, to indices.

    Args:
        classes: how many, one of `sizes`.
        sizes: of the objects alone, and with background as the first class.

    Raises:
        InputError: for another number.

    Example:
        >>> background_first(2, (2, 3)), background_first(3, (2, 3))
        ({0: -1, 1: 0, 2: 1}, {0: 0, 1: 1, 2: 2})
    """
    if classes not in sizes:
        raise InputError(f"Expected {sizes[0]} or {sizes[1]} classes, but got {classes!r}.")
    first = NO_OBJECT if classes == sizes[0] else 0
    return {value: value + first for value in range(sizes[1])}


def _read_all_flags(paths: list[Path]) -> dict[str, list[int]]:
    """Picture to one flag a list; all lists are of the same pictures."""
    flags: dict[str, list[int]] = {}
    for path in paths:
        own = _read_flags(path)
        if flags and own.keys() != flags.keys():
            raise InputError(
                f"{path}: expected the same {len(flags)} pictures as in {paths[0].name}, but it "
                f"lists {len(own)}."
            )
        for stem, flag in own.items():
            flags.setdefault(stem, []).append(flag)
    return flags


def _read_flags(path: Path) -> dict[str, int]:
    """Picture to _PRESENT, _DIFFICULT (present, but hard to see) or _ABSENT."""
    flags = {}
    for number, line in enumerate(read_lines(path), 1):
        stem, _, flag = line.partition(" ")
        if flag.strip() not in map(str, (_ABSENT, _DIFFICULT, _PRESENT)):
            raise InputError(
                f"{path}, line {number}: expected a picture and -1, 0 or 1, but got {line!r}."
            )
        flags[stem] = int(flag)
    return flags
