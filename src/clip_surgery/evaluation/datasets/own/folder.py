"""Your own images: a folder with palette or index masks, or with COCO's instances JSON.

    ROOT/images/*.jpg   ROOT/masks/*.png (with the stems of the images)   ROOT/names.txt
    ROOT/images/*.jpg   ROOT/instances.json

Masks have the values that `palette_image` and Pascal VOC write: 0 is no object, i is line i of
names.txt (counted from 1), and 255 is not judged. The format of names.txt is that of the lists of
this package: comments after #, aliases after a colon, background words after ~.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames, read_names_file
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED, Dataset
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, is_folder
from clip_surgery.evaluation.datasets.files.mask_files import MaskFiles
from clip_surgery.evaluation.datasets.files.orientation import upright_mask
from clip_surgery.evaluation.datasets.own.folder_of_instances import FolderOfInstances
from clip_surgery.inputs.image_folders import list_images

_MAX_NAMES = 254  # 0 is no object and 255 is not judged
_NOT_JUDGED_VALUE = 255


def open_folder(
    root: str | Path,
    *,
    names: str | Sequence[str] | None = None,
    annotations: str | None = None,
) -> Dataset:
    """Open a folder of images with masks, or with a JSON if there is no folder of masks.

    Args:
        root: the folder.
        names: the class names, as a list or separated by commas. If None, those of names.txt. Not
            for a JSON, which contains the names.
        annotations: the JSON relative to root; by default the only JSON in the folder.

    Raises:
        InputError: if a part of the layout is missing, or names are wrong.
        MissingExtraError: for a JSON, if pycocotools is not installed.
    """
    folder = Path(root)
    try:
        json_names = sorted(path.name for path in folder.glob("*.json"))
    except (OSError, ValueError):  # ValueError: the path contains NUL; the layout is checked later
        json_names = []
    if annotations is None and (is_folder(folder / "masks") or not json_names):
        return FolderOfMasks(folder, names=names)
    if names is not None:
        raise InputError(f"The names are in the JSON, but `names` was given too: {names!r}.")
    if annotations is None and len(json_names) > 1:
        raise InputError(f"{folder}: expected one JSON, or `annotations`, but got {json_names}.")
    return FolderOfInstances(folder, annotations=annotations or json_names[0])


class FolderOfMasks(MaskFiles):
    """Images in `images`, masks with the same stems in `masks`, and class names.

    The mask of a photograph with an EXIF orientation may be upright, as the image is shown, or as
    the image is stored. If the sides have different lengths, the size of the mask tells which.

    Args:
        root: the folder.
        names: the class names, as a list or separated by commas. If None, those of names.txt.

    Raises:
        InputError: if a part of the layout is missing, two images have the same stem, or names are
            wrong or more than 254.
    """

    def __init__(self, root: str | Path, *, names: str | Sequence[str] | None = None) -> None:
        self.base = Path(root)
        Layout(
            dataset="a folder of images",
            source="images/NAME.jpg, masks/NAME.png with 0 for no object and i for the i-th name, "
            "names.txt with a name a line (or names given); or images and COCO's instances.json",
            paths=("images", "masks", *(() if names is not None else ("names.txt",))),
        ).check(self.base)
        image_paths = list_images([self.base / "images"])
        stems = Counter(path.stem for path in image_paths)
        repeated = [stem for stem, count in stems.items() if count > 1]
        if repeated:
            raise InputError(
                f"{self.base / 'images'}: expected one image per mask, but several have the stem "
                f"{', '.join(repeated[:3])}."
            )
        self._file_names = {path.stem: path.name for path in image_paths}
        classes = (
            _given_names(names) if names is not None else read_names_file(self.base / "names.txt")
        )
        if classes.names[0].strip("_").lower() == "background":
            raise InputError(
                f"{self.base}: expected the names of the values from 1 on, but the first name is "
                f"{classes.names[0]!r}; value 0 is no object and has no name."
            )
        if len(classes) > _MAX_NAMES:
            raise InputError(f"Expected at most {_MAX_NAMES} names, but got {len(classes)}.")
        super().__init__(
            name="folder",
            classes=classes,
            stems=tuple(stems),
            values={
                0: NO_OBJECT,
                _NOT_JUDGED_VALUE: NOT_JUDGED,
                **{index + 1: index for index in range(len(classes))},
            },
            settings={"classes": len(classes)},
        )
        self.check_files(str(self.base))

    def image_path(self, stem: str) -> Path:
        """Return images/STEM with the ending of the file."""
        return self.base / "images" / self._file_names[stem]

    def mask_path(self, stem: str) -> Path:
        """Return masks/STEM.png."""
        return self.base / "masks" / f"{stem}.png"

    def read_values(self, path: Path) -> NDArray[np.int64]:
        """Read the values (H, W) of a mask file.

        Raises:
            InputError: if the file is missing or damaged, or 255 seems to mean the only class.
        """
        values = super().read_values(path)
        if len(self.names) == 1 and _NOT_JUDGED_VALUE in values and 1 not in values:
            raise InputError(
                f"{path}: {_NOT_JUDGED_VALUE} means not judged, so no pixel of it is "
                f"{self.names[0]!r}; write 1 for the class."
            )
        return values

    def arrange(self, mask: NDArray[np.int64], image_path: Path) -> NDArray[np.int64]:
        """Rotate the mask like the image."""
        return upright_mask(mask, image_path)


def _given_names(names: str | Sequence[str]) -> ClassNames:
    """The class names that a caller gave, without aliases."""
    parts = names.split(",") if isinstance(names, str) else names
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise InputError(f"Expected names as a list of texts, but got {names!r}.")
    stripped = tuple(part.strip() for part in parts)
    if not stripped or not all(stripped):
        raise InputError(f"Expected at least one name and none empty, but got {names!r}.")
    return ClassNames(
        names=stripped, aliases=tuple((name,) for name in stripped), source="given by the caller"
    )
