"""Images in files: what all data sets that read a folder have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.dataset import Sample, position
from clip_surgery.evaluation.datasets.files.listing import listed


class ImageFiles(ABC):
    """A data set of image files; none is read before it is asked for.

    Its repr says what it is, but not where: with the settings, how many images there are and
    digits that change with their names. A journal so knows one folder from another.

    Args:
        name: what reports call it.
        classes: its names, in the order that masks index.
        listing: what tells one image from another, as the name of its file or the stem of it.
        settings: what else makes it another data set, for the repr.
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
    def read(self, place: int) -> Sample:
        """The image at a place of the listing, with its truth."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that masks index."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> Sample:
        return self.read(position(index, len(self)))

    def __repr__(self) -> str:
        settings = "".join(f"{name}={value!r}, " for name, value in self.settings.items())
        return f"{type(self).__name__}({settings}pictures={listed(self.listing)})"
