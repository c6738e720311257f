"""Base class of the data sets that are read from image files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.dataset import Sample, position
from clip_surgery.evaluation.datasets.files.listing import listed


class ImageFiles(ABC):
    """A data set of image files. A file is read when its sample is requested.

    The `repr` identifies the data set but does not contain its folder: it has the settings, the
    number of images and a hash of their names. Journals use it to distinguish data sets.

    Args:
        name: name of the data set in reports.
        classes: the class names, in the order of the indices in masks.
        listing: for each image, the name of its file or the stem of the name.
        settings: further settings that distinguish the data set, for its `repr`.
    """

    def __init__(
        self,
        *,
        name: str,
        classes: ClassNames,
        listing: Sequence[str],
        settings: Mapping[str, object],
    ) -> None:
        self.name = name
        self.classes = classes
        self.listing = tuple(listing)
        self.settings = dict(settings)

    @abstractmethod
    def read(self, index: int) -> Sample:
        """Read the image at an index of the listing, with its ground truth."""

    @property
    def names(self) -> tuple[str, ...]:
        """The class names; values of masks are indices of them."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> Sample:
        return self.read(position(index, len(self)))

    def __repr__(self) -> str:
        settings = "".join(f"{name}={value!r}, " for name, value in self.settings.items())
        return f"{type(self).__name__}({settings}images={listed(self.listing)})"
