"""Published numbers that this library can reproduce, each with the paper and table it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

from clip_surgery.errors import InputError
from clip_surgery.evaluation.protocols.benchmarks import BENCHMARKS, benchmark_protocol
from clip_surgery.methods.registry import parse_methods
from clip_surgery.surgery.consistent_features import PUBLISHED_DEPTH

Confidence = Literal["A", "B", "C"]
CONFIDENCE: Mapping[Confidence, str] = MappingProxyType(
    {
        "A": "published by the authors of the method",
        "B": "published in another paper, which ran the method again",
        "C": "from an index of published tables; the table itself was not read",
    }
)

MODELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ViT-B/16": (
            "open_clip:ViT-B-16/openai",
            "open_clip:ViT-B-16-quickgelu/openai",
            "hugging_face:openai/clip-vit-base-patch16",
        ),
        "RN50": ("open_clip:RN50/openai", "open_clip:RN50-quickgelu/openai"),
    }
)
"""For each model in publications, the names by which this library loads its weights."""


@dataclass(frozen=True, kw_only=True)
class PublishedNumber:
    """One published number.

    Attributes:
        description: what was measured, in words.
        dataset: registered name of the data set.
        protocol: name of the protocol of this library that is closest to the publication.
        model: a key of `MODELS`. All published numbers are for the weights of OpenAI.
        method: the method, as on the command line.
        metric: name of the number in reports.
        value: the number in percent.
        source: paper, with its arXiv number, and table.
        confidence: a key of `CONFIDENCE`.
    """

    description: str
    dataset: str
    protocol: str
    model: str
    method: str
    metric: str
    value: float
    source: str
    confidence: Confidence


def _table(
    values: Mapping[str, Sequence[float]], datasets: Sequence[str], **shared: str
) -> Iterator[PublishedNumber]:
    """The cells of a table whose rows are methods and whose columns are data sets."""
    for method, row in values.items():
        for dataset, value in zip(datasets, row, strict=True):
            yield PublishedNumber(dataset=dataset, method=method, value=value, **shared)  # type: ignore[arg-type]


def _benchmark_rows(
    values: Mapping[str, Sequence[float | None]], *, confidence: Confidence, source: str
) -> Iterator[PublishedNumber]:
    """The rows of methods on the eight benchmarks, each with the protocol of its own code."""
    for family, row in values.items():
        for dataset, value in zip(BENCHMARKS, row, strict=True):
            protocol = benchmark_protocol(family, dataset)
            if value is not None:
                yield PublishedNumber(
                    description="segmentation with the settings of the released code",
                    dataset=dataset,
                    protocol=protocol.name,
                    model="ViT-B/16",
                    method=protocol.methods[0],
                    metric="segmentation mIoU",
                    value=value,
                    source=source,
                    confidence=confidence,
                )


PUBLISHED: tuple[PublishedNumber, ...] = (
    *_table(
        {"clip_surgery": (29.3, 21.9, 31.4), "maskclip": (22.4, 15.3, 22.7)},
        ("context59", "coco_stuff", "cityscapes"),
        description="segmentation, 512 px, no post-processing",
        protocol="paper_segmentation",
        model="ViT-B/16",
        metric="segmentation mIoU",
        source="CLIP Surgery (arXiv 2304.05653), Table 6",
        confidence="A",
    ),
    *(
        PublishedNumber(
            description=f"tags, {score}",
            dataset="nus_wide",
            protocol="paper_tags",
            model="RN50",
            method="similarity",
            metric=metric,
            value=value,
            source="CLIP Surgery (arXiv 2304.05653), Table 8",
            confidence="A",
        )
        for score, metric, value in (
            ("CLIP", "tags mAP softmax", 35.58),
            ("feature surgery on the class feature", "tags mAP surgery", 39.99),
        )
    ),
    *_table(
        {
            "similarity": (41.8, 9.2, 4.4, 5.5, 2.1),
            "maskclip": (74.9, 26.4, 16.4, 12.6, 9.8),
            "sclip": (78.2, 33.0, 21.1, 29.1, 14.6),
            "gem": (79.9, 35.9, 23.7, 30.8, 15.7),
            "clearclip": (80.9, 35.9, 23.9, 30.0, 16.7),
        },
        ("voc20", "context59", "coco_stuff", "cityscapes", "ade20k"),
        description="segmentation, short side 448, sliding windows",
        protocol="sliding_window",
        model="ViT-B/16",
        metric="segmentation mIoU",
        source="ClearCLIP (arXiv 2407.12442), table of methods without background class",
        confidence="B",
    ),
    *_benchmark_rows(
        {
            "res_clip": (61.1, 33.5, 35.0, 86.0, 35.9, 36.8, 18.0, 24.7),
            "pearl": (64.1, 35.1, 37.3, 86.9, 37.6, 38.6, 19.4, 26.3),
            "ita_clip": (67.9, 37.5, 37.7, None, 40.2, None, None, 27.0),
            "trident": (67.1, 38.6, 41.1, 84.5, 42.9, 42.2, 21.9, 28.3),
        },
        confidence="A",
        source="table of the authors",
    ),
    *_benchmark_rows(
        {
            "proxy_clip": (61.3, 35.3, 37.5, 80.3, 38.1, 39.1, 20.2, 26.5),
            "sc_clip": (64.6, 36.8, 37.7, 84.3, 41.0, 40.1, 20.1, 26.6),
            "sfp": (62.9, 37.2, 37.9, 84.5, 41.1, 39.9, 20.8, 26.4),
            "cass": (65.8, 36.7, 37.8, 87.8, 39.4, 40.2, 20.4, 26.7),
        },
        confidence="B",
        source="table of OV-Stitcher",
    ),
    *_benchmark_rows(
        {"rf_clip": (67.2, 37.9, 39.1, None, 43.0, 41.4, 21.0, 27.5)},
        confidence="C",
        source="table of an index of papers, which does not name the tower",
    ),
    *_benchmark_rows(
        {"lposs": (61.1, 34.6, 33.4, 78.8, 37.3, 37.8, 21.8, 25.9)},
        confidence="B",
        source="table of PEARL; with the weights of LAION, which the authors used",
    ),
)
"""The numbers of published tables that this library can reproduce."""


def find_published(*, dataset: str, method: str) -> tuple[PublishedNumber, ...]:
    """Return what was published for a data set and a method, with any protocol.

    Args:
        dataset: registered name of the data set.
        method: the method with its settings, as on the command line.

    Example:
        >>> numbers = find_published(dataset="cityscapes", method="clip_surgery")
        >>> [number.value for number in numbers]
        [31.4]
    """
    settings = _method_settings(method)
    return tuple(
        number
        for number in PUBLISHED
        if number.dataset == dataset and _method_settings(number.method) == settings
    )


@cache
def _method_settings(method: str) -> str:
    """A method with all its settings, so that "clip_surgery(depth=6)" equals "clip_surgery"."""
    try:
        methods = parse_methods(method).values()
    except InputError:  # the row of a report may have any name
        return method
    # Published numbers are of towers of at least 12 blocks.
    return ", ".join(
        repr(each).replace("depth='auto'", f"depth={PUBLISHED_DEPTH}") for each in methods
    )
