"""Pascal VOC 2007 for tags: which of 20 classes are in an image; no masks.

Everingham et al., IJCV 2010. ImageSets/Main has a list a class with a line such as "000001 -1" for
each image: 1 where the class is there, 0 where all of its objects are marked difficult, else -1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice
from clip_surgery.evaluation.datasets.files.image_files import ImageFiles
from clip_surgery.evaluation.datasets.files.listing import check_files, read_lines
from clip_surgery.evaluation.datasets.pascal.voc import VOC_SITE, find_devkit
from clip_surgery.inputs.images import read_image

_ABSENT, _DIFFICULT, _PRESENT = -1, 0, 1


class VocTags(ImageFiles):
    """Pascal VOC 2007 for tags: which of the 20 classes are in each of 4,952 "test" images.

    There are no masks: no pixel is judged. A class whose objects in an image are all marked
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
            source=f"{archive}_06-Nov-2007.tar of {VOC_SITE}/voc2007; give the folder with "
            "VOCdevkit in it, VOCdevkit, or VOC2007",
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
            f"Pascal VOC 2007 in {self.base}: half unpacked, images",
        )

    def read(self, place: int) -> Sample:
        """An image and the names that are in it.

        Raises:
            InputError: when the image cannot be read.
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


def _read_all_flags(paths: list[Path]) -> dict[str, list[int]]:
    """Image to one flag a list; all lists are of the same images."""
    flags: dict[str, list[int]] = {}
    for path in paths:
        own = _read_flags(path)
        if flags and own.keys() != flags.keys():
            raise InputError(
                f"{path}: expected the same {len(flags)} images as in {paths[0].name}, but it "
                f"lists {len(own)}."
            )
        for stem, flag in own.items():
            flags.setdefault(stem, []).append(flag)
    return flags


def _read_flags(path: Path) -> dict[str, int]:
    """Image to _PRESENT, _DIFFICULT (present, but hard to see) or _ABSENT."""
    flags = {}
    for number, line in enumerate(read_lines(path), 1):
        stem, _, flag = line.partition(" ")
        if flag.strip() not in map(str, (_ABSENT, _DIFFICULT, _PRESENT)):
            raise InputError(
                f"{path}, line {number}: expected an image and -1, 0 or 1, but got {line!r}."
            )
        flags[stem] = int(flag)
    return flags
