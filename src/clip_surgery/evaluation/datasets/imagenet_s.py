"""ImageNet-S 50: masks of 50 ImageNet classes.

Gao et al., TPAMI 2022 (arXiv 2106.03149), github.com/LUSSeg/ImageNet-S. A mask is an RGB image
with the values red + 256 * green: 0 is none of the classes, 1 to 50 are the classes in the order of
their WordNet numbers, and 1000 is not judged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice, first_folder
from clip_surgery.evaluation.datasets.files.mask_files import read_pixels
from clip_surgery.evaluation.datasets.files.paired_files import PairedFiles

_IGNORED = 1000
_SOURCE = (
    "data_preparation.sh of https://github.com/LUSSeg/ImageNet-S, which takes a copy of ImageNet; "
    "give the folder ImageNetS50, or the folder that contains it"
)

WORDNET_NUMBERS: tuple[str, ...] = (
    *("n01443537", "n01491361", "n01531178", "n01644373", "n02104029", "n02119022", "n02123597"),
    *("n02133161", "n02165456", "n02281406", "n02325366", "n02342885", "n02396427", "n02483362"),
    *("n02504458", "n02510455", "n02690373", "n02747177", "n02783161", "n02814533", "n02859443"),
    *("n02917067", "n02992529", "n03014705", "n03047690", "n03095699", "n03197337", "n03201208"),
    *("n03445777", "n03452741", "n03584829", "n03630383", "n03775546", "n03791053", "n03874599"),
    *("n03891251", "n04026417", "n04335435", "n04380533", "n04404412", "n04447861", "n04507155"),
    *("n04522168", "n04557648", "n04562935", "n04612504", "n06794110", "n07749582", "n07831146"),
    "n12998815",
)
"""Folder of each class, in the order of the class names."""


class ImageNetS(PairedFiles):
    """The masks of ImageNet-S 50: 752 images in the split "validation".

    Args:
        root: the folder ImageNetS50, or the folder that contains it.
        split: "validation" or "train-semi" (500 images); the test set's masks are not public.

    Raises:
        InputError: if the folder is missing, incomplete or of other classes.
        UnknownNameError: if the split is unknown.
    """

    def __init__(self, root: str | Path, *, split: str = "validation") -> None:
        check_choice("split", split, ("validation", "train-semi"))
        base = Path(root) / first_folder(root, "ImageNetS50", ".")
        images, masks = base / split, base / f"{split}-segmentation"
        Layout(dataset="ImageNet-S 50", source=_SOURCE, paths=(images.name, masks.name)).check(base)
        for folder in (images, masks):
            _check_classes(folder)
        super().__init__(
            name="imagenet_s50",
            classes=read_class_names("imagenet_s50"),
            values={0: NO_OBJECT, _IGNORED: NOT_JUDGED, **{i + 1: i for i in range(50)}},
            images=images,
            masks=masks,
            endings=(".JPEG", ".png"),
            stems="n*/*",
            description=f"ImageNet-S 50 in {base}",
            settings={"split": split},
        )

    def read_values(self, path: Path) -> NDArray[np.int64]:
        """Red + 256 * green (H, W).

        Raises:
            InputError: when the file is missing or damaged, or has no colours.
        """
        pixels = read_pixels(path)
        if pixels.ndim != 3:
            raise InputError(f"{path}: expected an RGB mask, but got palette or grey indices.")
        return pixels[..., 0] + 256 * pixels[..., 1]


def _check_classes(folder: Path) -> None:
    """Make sure of all 50 classes and no other: numbers mean others in the sets of 300 and 919."""
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    missing = [number for number in WORDNET_NUMBERS if number not in names]
    others = sorted(name for name in names if name.startswith("n") and name not in WORDNET_NUMBERS)
    if missing:
        raise InputError(
            f"{folder}: incomplete, {len(missing)} of 50 folders are missing "
            f"({', '.join(missing[:3])}). ImageNet-S 50: {_SOURCE}."
        )
    if others:
        raise InputError(
            f"{folder}: expected the 50 classes of ImageNet-S 50, but got {len(others)} more "
            f"({', '.join(others[:3])}); the sets of 300 and 919 number their classes otherwise."
        )
