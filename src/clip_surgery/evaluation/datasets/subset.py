"""Subset: some images of a data set, evenly spaced over it.

Lists of data sets are often sorted, by class or by where images are from; the first hundred of
such a list are no sample of it, every n-th are.
"""

from __future__ import annotations

from collections.abc import Sequence

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.dataset import Dataset, Sample


class Subset:
    """`count` images of a data set, evenly spaced; all of it where it has no more.

    Raises:
        InputError: when count is below 1.

    Example:
        >>> from clip_surgery.evaluation.datasets.scenes import SceneDataset
        >>> Subset(SceneDataset(seed=1, count=10), 4).indices
        (0, 2, 5, 7)
    """

    def __init__(self, dataset: Dataset, count: int) -> None:
        if count < 1:
            raise InputError(f"Expected a count of at least 1 image, but got {count}.")
        self.dataset = dataset
        whole = len(dataset)
        count = min(count, whole)
        self.indices = tuple(number * whole // count for number in range(count))

    @property
    def name(self) -> str:
        """The data set's own."""
        return self.dataset.name

    @property
    def names(self) -> Sequence[str]:
        """The data set's own."""
        return self.dataset.names

    @property
    def classes(self) -> ClassNames | None:
        """The data set's own, None where it has no aliases."""
        return getattr(self.dataset, "classes", None)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def __repr__(self) -> str:
        return f"Subset({self.dataset!r}, count={len(self)})"
