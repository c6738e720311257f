"""Pascal VOC 2007 for tags: which of 20 classes are in an image, without masks.

Everingham et al., IJCV 2010. ImageSets/Main has one list per class, with a line such as "000001 -1"
for each image: 1 if the class is in the image, 0 if all of its objects are marked difficult, and -1
otherwise.
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
    difficult (0 in the lists) is not counted, as in VOC's own average precision.

    Args:
        root: the folder that contains VOCdevkit, or VOCdevkit, or VOC2007.
        split: "test", "train", "val" or "trainval".
        difficult: how to count difficult classes: "unsure" (not at all), "present" or "absent".

    Raises:
        InputError: if the folder is missing or incomplete, or a list is damaged.
        UnknownNameError: if the split or the value of `difficult` is unknown.
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
        present = (_PRESENT, _DIFFICULT) if difficult == "present" else (_PRESENT,)
        unsure = (_DIFFICULT,) if difficult == "unsure" else ()
        self._present = tuple(
            self._names_with(image_flags, present) for image_flags in flags.values()
        )
        self._unsure = tuple(
            self._names_with(image_flags, unsure) for image_flags in flags.values()
        )
        check_files(
            [self._image_path(stem) for stem in self.listing],
            f"Pascal VOC 2007 in {self.base}: incomplete, images",
        )

    def read(self, index: int) -> Sample:
        """Return an image with the names of the classes in it.

        Raises:
            InputError: if the image cannot be read.
        """
        return Sample.without_mask(
            read_image(self._image_path(self.listing[index])).image,
            present=self._present[index],
            unsure=self._unsure[index],
        )

    def _image_path(self, stem: str) -> Path:
        return self.base / "JPEGImages" / f"{stem}.jpg"

    def _names_with(self, image_flags: list[int], wanted: tuple[int, ...]) -> frozenset[str]:
        """The names of the classes whose flag is one of the wanted ones."""
        return frozenset(
            name for name, flag in zip(self.names, image_flags, strict=True) if flag in wanted
        )


def _read_all_flags(paths: list[Path]) -> dict[str, list[int]]:
    """Return the flags of each image, one per list. All lists must have the same images."""
    flags: dict[str, list[int]] = {}
    for path in paths:
        list_flags = _read_flags(path)
        if flags and list_flags.keys() != flags.keys():
            raise InputError(
                f"{path}: expected the same {len(flags)} images as in {paths[0].name}, but it "
                f"lists {len(list_flags)}."
            )
        for stem, flag in list_flags.items():
            flags.setdefault(stem, []).append(flag)
    return flags


def _read_flags(path: Path) -> dict[str, int]:
    """Return the flag of each image: _PRESENT, _DIFFICULT or _ABSENT."""
    flags = {}
    for number, line in enumerate(read_lines(path), 1):
        stem, _, flag = line.partition(" ")
        if flag.strip() not in map(str, (_ABSENT, _DIFFICULT, _PRESENT)):
            raise InputError(
                f"{path}, line {number}: expected an image and -1, 0 or 1, but got {line!r:.60}."
            )
        flags[stem] = int(flag)
    return flags
