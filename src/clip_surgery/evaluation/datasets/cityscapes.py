"""Cityscapes: street scenes with masks of the 19 evaluated classes.

Cordts et al., CVPR 2016. A mask holds label ids 0 to 33, of which 19 are evaluated; all others, and
255 (a licence plate, -1), are not judged. The folders are listed here rather than through
torchvision.datasets.Cityscapes, which lists them in no order, unpacks archives unasked and says
nothing of a missing mask; a test holds the ids against its table.
"""

from __future__ import annotations

from pathlib import Path

from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice
from clip_surgery.evaluation.datasets.files.paired_files import PairedFiles

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label id of each class, in the order of the names (the train ids 0 to 18)."""


class Cityscapes(PairedFiles):
    """The fine masks of Cityscapes: 500 images of 2048 x 1024 px in the split "val".

    Args:
        root: the folder with leftImg8bit/ and gtFine/ in it.
        split: "val" or "train"; the masks of "test" are not public.

    Raises:
        InputError: when the folder is missing or half unpacked.
        UnknownNameError: for another split.
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
            values={**unjudged, **{own: index for index, own in enumerate(LABEL_IDS)}},
            images=base / images,
            masks=base / masks,
            endings=("_leftImg8bit.png", "_gtFine_labelIds.png"),
            stems="*/*",  # CITY/CITY_SEQUENCE_FRAME
            of=f"Cityscapes in {base}",
            settings={"split": split},
        )
