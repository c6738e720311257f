"""Pascal Context: masks of the images of VOC 2010, 59 classes, or 60 with background.

Mottaghi et al., CVPR 2014. Two forms of the data set can be read:
- the form of mmsegmentation: SegmentationClassContext/*.png, which its converter creates with the
  detail API. Value 0 is background, followed by the 59 classes in alphabetical order, which is the
  order of names/context59.txt.
- the original form: trainval/*.mat with the numbers of labels.txt (459 and more labels). Classes
  are matched by their names in labels.txt, and all other labels are background. 59_labels.txt is
  not read, because it has another order and other names for three classes.

Background: with 59 classes, all other pixels belong to no object; with 60 they are a class, see
`voc.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice, is_folder
from clip_surgery.evaluation.datasets.files.listing import read_lines
from clip_surgery.evaluation.datasets.files.mask_files import MaskFiles
from clip_surgery.evaluation.datasets.pascal.voc import background_first, find_devkit

_SOURCE = (
    "images: VOCtrainval_03-May-2010.tar of http://host.robots.ox.ac.uk/pascal/VOC/voc2010; "
    "masks: tools/dataset_converters/pascal_context.py of mmsegmentation with trainval_merged.json "
    "of the detail API, or trainval.tar.gz and labels.txt of "
    "https://cs.stanford.edu/~roozbeh/pascal-context unpacked beside JPEGImages; give the folder "
    "with VOCdevkit in it, VOCdevkit, or VOC2010"
)


_MAX_DIGITS = 5  # of a label; there are 459, and the table of labels has as many entries


class PascalContext(MaskFiles):
    """The masks of Pascal Context: 5,105 images in the split "val".

    Args:
        root: the folder that contains VOCdevkit, or VOCdevkit, or VOC2010.
        classes: 59, or 60 with background as a class.
        split: "train" or "val".

    Raises:
        InputError: if the folder is missing or incomplete, or a setting is wrong.
        UnknownNameError: if the split is unknown.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        classes: Literal[59, 60] = 59,
        split: str = "val",
    ) -> None:
        check_choice("split", split, ("train", "val"))
        self.base = find_devkit(root, "VOC2010")
        self.original = not is_folder(self.base / "SegmentationClassContext") and (
            is_folder(self.base) and (self.base / "labels.txt").is_file()
        )
        listing = f"ImageSets/SegmentationContext/{split}.txt"
        masks = ("trainval", "labels.txt") if self.original else ("SegmentationClassContext",)
        Layout(
            dataset="Pascal Context", source=_SOURCE, paths=("JPEGImages", *masks, listing)
        ).check(self.base)
        values = background_first(classes, (59, 60))
        names = read_class_names(f"context{classes}")
        super().__init__(
            name=f"context{classes}",
            classes=names,
            stems=read_lines(self.base / listing),
            values=values,
            settings={"classes": classes, "split": split},
        )
        self._classes_of = (
            _classes_of_labels(self.base / "labels.txt", names.names[-59:])
            if self.original
            else None
        )
        self.check_files(f"Pascal Context in {self.base}")

    def image_path(self, stem: str) -> Path:
        """Return JPEGImages/STEM.jpg."""
        return self.base / "JPEGImages" / f"{stem}.jpg"

    def mask_path(self, stem: str) -> Path:
        """Return SegmentationClassContext/STEM.png or trainval/STEM.mat."""
        if self.original:
            return self.base / "trainval" / f"{stem}.mat"
        return self.base / "SegmentationClassContext" / f"{stem}.png"

    def read_values(self, path: Path) -> NDArray[np.int64]:
        """Read the values (H, W) of a mask of either form: 0 for background, i for class i.

        Raises:
            InputError: if the file is missing or damaged.
        """
        if self._classes_of is None:
            return super().read_values(path)
        labels = _read_label_map(path)
        return self._classes_of[np.clip(labels, 0, len(self._classes_of) - 1)]


def _classes_of_labels(path: Path, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Read labels.txt, with lines such as "1: accordion".

    Returns:
        The class of each label: 0 for background, i for class i. The last entry is for all larger
        labels.
    """
    labels = {}
    for number, line in enumerate(read_lines(path), 1):
        label, colon, name = (part.strip() for part in line.partition(":"))
        if not (colon and label.isdecimal() and len(label) <= _MAX_DIGITS):
            raise InputError(f"{path}, line {number}: expected NUMBER: NAME, but got {line!r:.60}.")
        labels[name] = int(label)
    missing = [name for name in names if name not in labels]
    if missing:
        raise InputError(f"{path}: expected the 59 classes, but {', '.join(missing)} are missing.")
    classes = np.zeros(max(labels.values()) + 2, dtype=np.int64)
    classes[[labels[name] for name in names]] = np.arange(1, len(names) + 1)
    return classes


def _read_label_map(path: Path) -> NDArray[np.int64]:
    """Read the variable LabelMap (H, W) of a .mat file."""
    try:
        labels = np.asarray(loadmat(path)["LabelMap"])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except Exception as error:  # a damaged file raises any of a dozen errors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a .mat file with a LabelMap ({reason}).") from error
    if labels.ndim != 2 or labels.dtype.kind not in "iuf":
        raise InputError(
            f"{path}: expected LabelMap to be numbers (H, W), but got {labels.dtype} "
            f"{labels.shape}."
        )
    if not np.isfinite(labels).all():
        raise InputError(
            f"{path}: expected LabelMap to be finite, but it contains NaN or infinity."
        )
    return labels.astype(np.int64)
