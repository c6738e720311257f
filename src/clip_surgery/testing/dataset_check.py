"""Run the contracts that every data set must keep."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np

from clip_surgery.evaluation.datasets.dataset import Dataset, Sample, describe_dataset
from clip_surgery.testing.expectations import expect, named_contract


def check_dataset(dataset: Dataset, *, samples: int = 4) -> None:
    """Check that a data set keeps the contracts that `evaluate` relies on.

    Args:
        dataset: the data set, with at least one sample.
        samples: number of samples to read, at least 1. They are spread over the data set.

    Raises:
        AssertionError: if a contract is broken. The message names the contract, what was expected
            and what came.

    Example:
        >>> from clip_surgery.evaluation import SceneDataset
        >>> check_dataset(SceneDataset(seed=1, count=3))
    """
    subject = str(getattr(dataset, "name", None) or type(dataset).__name__)
    for name in ("name", "class names", "length"):
        with named_contract(subject, name):
            _DEFINITION[name](dataset)
    indices = sorted(set(np.linspace(0, len(dataset) - 1, max(samples, 1)).astype(int).tolist()))
    for name, check in DATASET_CONTRACTS.items():
        with named_contract(subject, name):
            check(dataset, indices)


def check_name(dataset: Dataset) -> None:
    """The name is a text that is not empty."""
    name = getattr(dataset, "name", None)
    expect(isinstance(name, str) and bool(name.strip()), "a `name` that is a text", repr(name))


def check_class_names(dataset: Dataset) -> None:
    """The names of the classes are a sequence of different texts that are not empty."""
    names = getattr(dataset, "names", None)
    sequence = isinstance(names, Sequence) and not isinstance(names, str)
    expect(sequence, "`names` to be a sequence of texts", repr(names))
    expect(bool(names), "at least one class", "none")
    for name in names or ():
        expect(isinstance(name, str) and bool(name.strip()), "class names as texts", repr(name))
    repeated = sorted({name for name in names or () if list(names or ()).count(name) > 1})
    expect(not repeated, "different class names", f"repeated {', '.join(repeated)}")


def check_length(dataset: Dataset) -> None:
    """The data set has at least one sample, and an index after the last is an IndexError."""
    count = len(dataset)
    expect(count > 0, "at least one sample", count)
    for index in (count, count + 100):
        try:
            dataset[index]
        except IndexError:
            continue
        raise AssertionError(
            f"expected an IndexError for index {index} of {count} samples, but got a sample"
        )


def check_samples(dataset: Dataset, indices: Sequence[int]) -> None:
    """Every sample is a `Sample` whose mask and labels only use classes of the data set."""
    names = set(dataset.names)
    for index in indices:
        sample = dataset[index]
        expect(isinstance(sample, Sample), f"sample {index} to be a Sample", type(sample).__name__)
        largest = int(sample.mask.max()) if sample.mask.size else -1
        expect(
            largest < len(dataset.names),
            f"mask values of sample {index} below the number of classes {len(dataset.names)}",
            largest,
        )
        unknown = sorted((sample.present | sample.unsure) - names)
        expect(
            not unknown,
            f"labels of sample {index} among the class names",
            f"unknown {', '.join(map(repr, unknown))}",
        )


def check_repeated_reading(dataset: Dataset, indices: Sequence[int]) -> None:
    """An index always gives the same sample."""
    for index in indices:
        _expect_same(dataset[index], dataset[index], f"sample {index} to be the same again")


def check_threads(dataset: Dataset, indices: Sequence[int]) -> None:
    """Samples that are read in several threads are those that are read one after another."""
    alone = [dataset[index] for index in indices]
    with ThreadPoolExecutor(max_workers=4) as pool:
        together = list(pool.map(dataset.__getitem__, [*indices, *indices]))
    for index, actual, expected in zip([*indices, *indices], together, alone * 2, strict=True):
        _expect_same(actual, expected, f"sample {index} to be the same in a thread")


def check_pickle(dataset: Dataset, indices: Sequence[int]) -> None:
    """A copy by pickle, which worker processes receive, has the same text and the same samples."""
    copy = pickle.loads(pickle.dumps(dataset))
    expect(
        describe_dataset(copy) == describe_dataset(dataset),
        f"a copy with the text {describe_dataset(dataset)!r}, which resumed runs compare",
        repr(describe_dataset(copy)),
    )
    expect(list(copy.names) == list(dataset.names), "a copy with the same names", copy.names)
    for index in indices[:1]:
        _expect_same(copy[index], dataset[index], f"sample {index} of a copy to be the same")


_DEFINITION: Mapping[str, Callable[[Dataset], None]] = MappingProxyType(
    {"name": check_name, "class names": check_class_names, "length": check_length}
)
DATASET_CONTRACTS: Mapping[str, Callable[[Dataset, Sequence[int]], None]] = MappingProxyType(
    {
        "samples": check_samples,
        "repeated reading": check_repeated_reading,
        "threads": check_threads,
        "pickle": check_pickle,
    }
)
"""Contracts on samples; each function takes the data set and the indices of samples to read."""


def _expect_same(actual: Sample, expected: Sample, what: str) -> None:
    """Check that two samples have the same image, mask and labels."""
    different = [
        name
        for name in ("present", "unsure", "caption")
        if getattr(actual, name) != getattr(expected, name)
    ]
    if actual.image.size != expected.image.size or actual.image != expected.image:
        different.append("image")
    if not np.array_equal(actual.mask, expected.mask):
        different.append("mask")
    expect(not different, what, f"a different {', '.join(different)}")
