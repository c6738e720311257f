"""COCO-Stuff: masks of 80 thing and 91 stuff classes for the images of COCO 2017.

Caesar et al., CVPR 2018, github.com/nightrome/cocostuff. A pixel of the stuff-thing maps is the id
of its class in labels.txt minus one: 0 to 181, with 11 gaps for COCO's things that were never
annotated (street sign, hat, ...). 255 is unlabelled and not judged.
"""

from __future__ import annotations

from pathlib import Path

from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice, first_folder
from clip_surgery.evaluation.datasets.files.paired_files import PairedFiles

_NEVER_ANNOTATED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})
_UNLABELLED = 255
IDS = tuple(number for number in range(1, 183) if number not in _NEVER_ANNOTATED)
"""The id of each class in labels.txt, in the order of the names."""


class CocoStuff(PairedFiles):
    """The stuff-thing maps of COCO-Stuff: 5,000 images in the split "val".

    Args:
        root: the folder that contains val2017/ and stuffthingmaps_trainval2017/val2017/, or
            images/val2017/ and annotations/val2017/ as in the authors' instructions.
        split: "val" or "train".

    Raises:
        InputError: if the folder is missing or incomplete.
        UnknownNameError: if the split is unknown.
    """

    def __init__(self, root: str | Path, *, split: str = "val") -> None:
        check_choice("split", split, ("val", "train"))
        base, part = Path(root), f"{split}2017"
        images = first_folder(base, f"images/{part}", part)
        masks = first_folder(base, f"annotations/{part}", f"stuffthingmaps_trainval2017/{part}")
        Layout(
            dataset="COCO-Stuff",
            source=f"{part}.zip of https://cocodataset.org/#download, and "
            "stuffthingmaps_trainval2017.zip of https://github.com/nightrome/cocostuff unpacked "
            "into a folder of that name",
            paths=(images, masks),
        ).check(base)
        super().__init__(
            name="coco_stuff",
            classes=read_class_names("coco_stuff171"),
            values={
                _UNLABELLED: NOT_JUDGED,
                **{number - 1: index for index, number in enumerate(IDS)},
            },
            images=base / images,
            masks=base / masks,
            endings=(".jpg", ".png"),
            stems="[0-9]*[0-9]",  # not *_labelTrainIds.png, which converters write there
            description=f"COCO-Stuff in {base}",
            settings={"split": split},
        )
