"""Data sets of two folders: images in one, and masks with the same stems in the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.files.listing import check_files
from clip_surgery.evaluation.datasets.files.mask_files import MaskFiles


class PairedFiles(MaskFiles):
    """A data set whose images are found by listing the folder of masks.

    Args:
        name: name of the data set in reports.
        classes: the class names.
        values: value in a mask file to class index, NO_OBJECT or NOT_JUDGED.
        images: the folder of images.
        masks: the folder of masks.
        endings: what follows the stem in the names of images and of masks.
        stems: glob pattern of stems.
        description: the data set in messages.
        settings: further settings that distinguish the data set, for its `repr`.

    Raises:
        InputError: if there is no mask, or an image without mask or a mask without image.
    """

    def __init__(
        self,
        *,
        name: str,
        classes: ClassNames,
        values: Mapping[int, int],
        images: Path,
        masks: Path,
        endings: tuple[str, str],
        stems: str = "*",
        description: str,
        settings: Mapping[str, object],
    ) -> None:
        self.images, self.masks, self._endings = images, masks, endings
        mask_stems = _stems(masks, stems, endings[1])
        if not mask_stems:
            raise InputError(f"{masks}: expected masks of {description}, but there is none.")
        super().__init__(
            name=name, classes=classes, stems=mask_stems, values=values, settings=settings
        )
        self.check_files(description)
        check_files(
            [self.mask_path(stem) for stem in _stems(images, stems, endings[0])],
            f"{description}: incomplete, masks",
        )

    def image_path(self, stem: str) -> Path:
        """Return the path of the image of a stem."""
        return self.images / f"{stem}{self._endings[0]}"

    def mask_path(self, stem: str) -> Path:
        """Return the path of the mask of a stem."""
        return self.masks / f"{stem}{self._endings[1]}"


def _stems(folder: Path, pattern: str, ending: str) -> list[str]:
    """The stems of the files in a folder that have the ending."""
    return sorted(
        path.relative_to(folder).as_posix().removesuffix(ending)
        for path in folder.glob(f"{pattern}{ending}")
        if not path.name.startswith(".")  # side files of some operating systems
    )
