"""Two folders of one order: images in one, the mask of each in the other, under the same stem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.files.listing import check_files
from clip_surgery.evaluation.datasets.files.mask_files import MaskFiles


class PairedFiles(MaskFiles):
    """A data set whose masks, found by listing their folder, have the stems of the images.

    Args:
        name: what reports call it.
        classes: its names.
        values: number in a mask file to index, NO_OBJECT or NOT_JUDGED.
        images: the folder of images.
        masks: the folder of masks.
        endings: what follows the stem in either.
        stems: which names are stems, as a glob pattern.
        of: what messages call it.
        settings: what else makes it another data set, for the repr.

    Raises:
        InputError: when there is no mask, or an image lacks its mask or a mask its image.
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
        of: str,
        settings: Mapping[str, object],
    ) -> None:
        self.images, self.masks, self._endings = images, masks, endings
        found = _stems(masks, stems, endings[1])
        if not found:
            raise InputError(f"{masks}: expected masks of {of}, but there is none.")
        super().__init__(name=name, classes=classes, stems=found, values=values, settings=settings)
        self.check_files(of)
        check_files(
            [self.mask_path(stem) for stem in _stems(images, stems, endings[0])],
            f"{of}: half unpacked, masks",
        )

    def image_path(self, stem: str) -> Path:
        """The stem and the first ending in the folder of images."""
        return self.images / f"{stem}{self._endings[0]}"

    def mask_path(self, stem: str) -> Path:
        """The stem and the second ending in the folder of masks."""
        return self.masks / f"{stem}{self._endings[1]}"


def _stems(folder: Path, pattern: str, ending: str) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix().removesuffix(ending)
        for path in folder.glob(f"{pattern}{ending}")
        if not path.name.startswith(".")  # some system's side files
    )
