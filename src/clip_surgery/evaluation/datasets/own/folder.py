"""Your own images: a folder with palette or index masks, or with COCO's JSON of instances.

    ROOT/images/*.jpg   ROOT/masks/*.png (the stems of the images)   ROOT/names.txt
    ROOT/images/*.jpg   ROOT/instances.json

Masks are as `palette_image` and Pascal VOC write them: 0 is no object, i is line i of
names.txt (counted from 1), 255 is not judged. names.txt is read as the package's own lists are:
comments after #, aliases after a colon, background words after ~.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames, parse_class_names
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED, Dataset
from clip_surgery.evaluation.datasets.files.folder_layout import Layout
from clip_surgery.evaluation.datasets.files.mask_files import MaskFiles
from clip_surgery.evaluation.datasets.files.orientation import upright_mask
from clip_surgery.evaluation.datasets.own.folder_of_instances import FolderOfInstances
from clip_surgery.inputs.images import list_images

_MOST_NAMES = 254  # 0 is no object and 255 is not judged
_UNJUDGED = 255


def open_folder(
    root: str | Path,
    *,
    names: str | Sequence[str] | None = None,
    annotations: str | None = None,
) -> Dataset:
    """Open a folder of images: with masks, or with the JSON where there is no folder of masks.

    Args:
        root: the folder.
        names: the classes, in a list or between commas; those of names.txt if None. Only for
            masks: JSON has its own.
        annotations: the JSON below root; the only one in it if None.

    Raises:
        InputError: when something of the layout is missing, or names are wrong.
        MissingExtraError: for JSON without pycocotools.
    """
    place = Path(root)
    found = sorted(path.name for path in place.glob("*.json"))
    if annotations is None and ((place / "masks").is_dir() or not found):
        return FolderOfMasks(place, names=names)
    if names is not None:
        raise InputError(f"Names are in the JSON, but `names` was given too: {names!r}.")
    if annotations is None and len(found) > 1:
        raise InputError(f"{place}: expected one JSON, or `annotations`, but got {found}.")
    return FolderOfInstances(place, annotations=annotations or found[0])


class FolderOfMasks(MaskFiles):
    """Images in `images`, each with a mask of its stem in `masks`, and names.

    A photograph that its camera marked as turned may have its mask either way: upright as it is
    shown, or as it is stored; with sides of different length the sizes tell.

    Raises:
        InputError: when something of the layout is missing, two images have one stem, or names
            are wrong or more than 254.
    """

    def __init__(self, root: str | Path, *, names: str | Sequence[str] | None = None) -> None:
        self.base = Path(root)
        Layout(
            dataset="a folder of images",
            source="images/NAME.jpg, masks/NAME.png with 0 for no object and i for the i-th name, "
            "names.txt with a name a line (or names given); or images and COCO's instances.json",
            paths=("images", "masks", *(() if names is not None else ("names.txt",))),
        ).check(self.base)
        pictures = list_images([self.base / "images"])
        stems = Counter(path.stem for path in pictures)
        twice = [stem for stem, count in stems.items() if count > 1]
        if twice:
            raise InputError(
                f"{self.base / 'images'}: expected one image a mask, but several are called "
                f"{', '.join(twice[:3])}."
            )
        self._pictures = {path.stem: path.name for path in pictures}
        classes = _given_names(names) if names is not None else _read_names(self.base / "names.txt")
        if classes.names[0].strip("_").lower() == "background":
            raise InputError(
                f"{self.base}: expected names from value 1 on, but the first one is "
                f"{classes.names[0]!r}; 0 is no object without a name."
            )
        if len(classes) > _MOST_NAMES:
            raise InputError(f"Expected at most {_MOST_NAMES} names, but got {len(classes)}.")
        super().__init__(
            name="folder",
            classes=classes,
            stems=tuple(stems),
            values={
                0: NO_OBJECT,
                _UNJUDGED: NOT_JUDGED,
                **{index + 1: index for index in range(len(classes))},
            },
            settings={"classes": len(classes)},
        )
        self.check_files(str(self.base))

    def image_path(self, stem: str) -> Path:
        """images/STEM with its own ending."""
        return self.base / "images" / self._pictures[stem]

    def mask_path(self, stem: str) -> Path:
        """masks/STEM.png."""
        return self.base / "masks" / f"{stem}.png"

    def read_values(self, path: Path) -> NDArray[np.int64]:
        """The numbers (H, W); one that can only be a mistake is refused.

        Raises:
            InputError: when the file is missing or damaged, or 255 stands for the only class.
        """
        values = super().read_values(path)
        if len(self.names) == 1 and _UNJUDGED in values and 1 not in values:
            raise InputError(
                f"{path}: {_UNJUDGED} means not judged, so no pixel of it is "
                f"{self.names[0]!r}; write 1 for the class."
            )
        return values

    def arrange(self, mask: NDArray[np.int64], image_path: Path) -> NDArray[np.int64]:
        """The mask as the image is shown."""
        return upright_mask(mask, image_path)


def _given_names(names: str | Sequence[str]) -> ClassNames:
    parts = names.split(",") if isinstance(names, str) else list(names)
    own = [name.strip() for name in parts]
    if not own or not all(own):
        raise InputError(f"Expected at least one name and none empty, but got {names!r}.")
    return ClassNames(
        names=tuple(own), aliases=tuple((name,) for name in own), source="given by the caller"
    )


def _read_names(path: Path) -> ClassNames:
    try:
        return parse_class_names(path.read_text(encoding="utf-8-sig"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}).") from error
