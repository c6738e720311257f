"""ADE20K: scene parsing masks of 150 classes.

Zhou et al., CVPR 2017; the release of the benchmark, ADEChallengeData2016. The value i of a mask is
class i of objectInfo150.txt. The value 0, which is none of the 150 classes, is not judged.
"""

from __future__ import annotations

from pathlib import Path

from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice, first_folder
from clip_surgery.evaluation.datasets.files.paired_files import PairedFiles

_FOLDERS = {"val": "validation", "train": "training"}


class Ade20k(PairedFiles):
    """The masks of ADE20K: 2,000 images in the split "val".

    Args:
        root: the folder ADEChallengeData2016, or the folder that contains it.
        split: "val" or "train".

    Raises:
        InputError: if the folder is missing or incomplete.
        UnknownNameError: if the split is unknown.
    """

    def __init__(self, root: str | Path, *, split: str = "val") -> None:
        check_choice("split", split, tuple(_FOLDERS))
        base = Path(root) / first_folder(root, "ADEChallengeData2016", ".")
        images, masks = f"images/{_FOLDERS[split]}", f"annotations/{_FOLDERS[split]}"
        Layout(
            dataset="ADE20K",
            source="ADEChallengeData2016.zip of http://sceneparsing.csail.mit.edu; give the folder "
            "ADEChallengeData2016, or the folder that contains it",
            paths=(images, masks),
        ).check(base)
        super().__init__(
            name="ade20k",
            classes=read_class_names("ade150"),
            values={0: NOT_JUDGED, **{value: value - 1 for value in range(1, 151)}},
            images=base / images,
            masks=base / masks,
            endings=(".jpg", ".png"),
            description=f"ADE20K in {base}",
            settings={"split": split},
        )
