"""Cityscapes: street scenes with masks of the 19 evaluated classes.

Cordts et al., CVPR 2016. The values of a mask are label ids from 0 to 33, of which 19 are
evaluated. All others, and 255 (licence plates), are not judged. The folders are not listed with
torchvision.datasets.Cityscapes, which lists them in no defined order, unpacks archives without
being asked and does not report missing masks. A test compares the ids with torchvision's table.
"""

from __future__ import annotations

from pathlib import Path

from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice
from clip_surgery.evaluation.datasets.files.paired_files import PairedFiles

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each class, in the order of the class names (the train ids 0 to 18)."""


class Cityscapes(PairedFiles):
    """The fine masks of Cityscapes: 500 images of 2048 x 1024 px in the split "val".

    Args:
        root: the folder that contains leftImg8bit/ and gtFine/.
        split: "val" or "train"; the masks of "test" are not public.

    Raises:
        InputError: if the folder is missing or incomplete.
        UnknownNameError: if the split is unknown.
    """

    def __init__(self, root: str | Path, *, split: str = "val") -> None:
        check_choice("split", split, ("val", "train"))
        base, images, masks = Path(root), f"leftImg8bit/{split}", f"gtFine/{split}"
        Layout(
            dataset="Cityscapes",
            source="leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of "
            "https://www.cityscapes-dataset.com/downloads (after registration)",
            paths=(images, masks),
        ).check(base)
        unjudged = dict.fromkeys((*range(34), 255), NOT_JUDGED)
        super().__init__(
            name="cityscapes",
            classes=read_class_names("cityscapes19"),
            values={**unjudged, **{label_id: index for index, label_id in enumerate(LABEL_IDS)}},
            images=base / images,
            masks=base / masks,
            endings=("_leftImg8bit.png", "_gtFine_labelIds.png"),
            stems="*/*",  # CITY/CITY_SEQUENCE_FRAME
            description=f"Cityscapes in {base}",
            settings={"split": split},
        )
