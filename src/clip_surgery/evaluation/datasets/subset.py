"""A subset of a data set: some of its images, evenly spaced.

The lists of data sets are often sorted by class or by origin of the images, so that the first
hundred images are not representative.
"""

from __future__ import annotations

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset, Sample, describe_dataset
from clip_surgery.evaluation.datasets.wrapped_dataset import WrappedDataset


class Subset(WrappedDataset):
    """Evenly spaced images of a data set.

    Args:
        dataset: the data set.
        count: number of images; if the data set has fewer, all of them.

    Raises:
        InputError: if `count` is below 1.

    Example:
        >>> from clip_surgery.evaluation.datasets.scenes import SceneDataset
        >>> Subset(SceneDataset(seed=1, count=10), 4).indices
        (0, 2, 5, 7)
    """

    def __init__(self, dataset: Dataset, count: int) -> None:
        if count < 1:
            raise InputError(f"Expected a count of at least 1 image, but got {count}.")
        super().__init__(dataset)
        total = len(dataset)
        count = min(count, total)
        self.indices = tuple(number * total // count for number in range(count))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def __repr__(self) -> str:
        return f"Subset({describe_dataset(self.dataset)}, count={len(self)})"
