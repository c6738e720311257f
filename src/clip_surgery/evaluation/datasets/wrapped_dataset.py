"""The base of data sets that show another data set differently."""

from __future__ import annotations

from collections.abc import Sequence

from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.dataset import Dataset, Sample


class WrappedDataset:
    """The images, names and classes of another data set.

    Args:
        dataset: the data set.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.dataset.name

    @property
    def names(self) -> Sequence[str]:
        """Class names of the data set."""
        return self.dataset.names

    @property
    def classes(self) -> ClassNames | None:
        """Class names with aliases, or None if the data set has no aliases."""
        return getattr(self.dataset, "classes", None)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[index]
