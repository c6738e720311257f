"""Paper: published numbers, with their source and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

from clip_surgery.errors import InputError
from clip_surgery.methods.registry import parse_methods

Confidence = Literal["A", "B", "C"]
CONFIDENCE: Mapping[Confidence, str] = MappingProxyType(
    {
        "A": "the authors' own figure, from their paper or README",
        "B": "from another paper, which ran the method again",
        "C": "from somebody's notes; not seen at its source",
    }
)

# The names under which this library loads the weights that papers mean.
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


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published number.

    Attributes:
        what: what it is, in words.
        dataset: its name in `datasets.registry.DATASETS`.
        protocol: its name in `protocols.PROTOCOLS`.
        model: a key of `MODELS`; all are OpenAI's weights.
        method: as the command line writes methods.
        metric: the name of the number in reports.
        value: in percent.
        source: paper and table.
        confidence: a key of `CONFIDENCE`.
    """

    what: str
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
) -> Iterator[Published]:
    """The cells of a table whose rows are methods and whose columns are data sets."""
    for method, row in values.items():
        for dataset, value in zip(datasets, row, strict=True):
            yield Published(dataset=dataset, method=method, value=value, **shared)  # type: ignore[arg-type]


_SURGERY = "CLIP Surgery (arXiv 2304.05653)"
_NOTES = f"notes on {_SURGERY}"

PUBLISHED: tuple[Published, ...] = (
    *_table(
        {"clip_surgery": (29.3, 21.9, 31.4), "maskclip": (22.4, 15.3, 22.7)},
        ("context59", "coco_stuff", "cityscapes"),
        what="segmentation, 512 px, no post-processing",
        protocol="paper_segmentation",
        model="ViT-B/16",
        metric="segmentation mIoU",
        source=f"{_SURGERY}, Table 6",
        confidence="A",
    ),
    *(
        Published(
            what=f"tags, {how}",
            dataset="nus_wide",
            protocol="paper_tags",
            model="RN50",
            method="similarity",
            metric=metric,
            value=value,
            source=f"{_SURGERY}, Table 8",
            confidence="A",
        )
        for how, metric, value in (
            ("CLIP", "tags mAP softmax", 35.58),
            ("feature surgery on the class feature", "tags mAP surgery", 39.99),
        )
    ),
    *(
        Published(
            what="explainability",
            dataset="context59",
            protocol="paper_explainability",
            model="ViT-B/16",
            method=method,
            metric=metric,
            value=value,
            source=_NOTES,
            confidence="C",
        )
        for method, metric, value in (
            ("similarity", "mIoU best", 15.76),
            ("clip_surgery", "mIoU best", 46.28),
            ("similarity", "mSC", -16.73),
            ("clip_surgery", "mSC", 34.32),
        )
    ),
    *_table(
        {"clip_surgery": (56.7, 42.9, 33.6)},
        ("voc20", "context59", "coco"),
        what="segmentation, labels given, threshold 0.60, background counted",
        protocol="labels_given",
        model="ViT-B/16",
        metric="segmentation mIoU",
        source="a later paper's rerun (name not recorded)",
        confidence="B",
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
        what="segmentation, short side 448, sliding windows",
        protocol="sliding_window",
        model="ViT-B/16",
        metric="segmentation mIoU",
        source="ClearCLIP (arXiv 2407.12442), its comparison of methods",
        confidence="B",
    ),
)
"""The numbers of published tables that this library can reproduce."""

REMARKS: Mapping[str, str] = MappingProxyType(
    {
        "paper_explainability": "Published besides, over all backbones and data sets of the "
        "paper, as gains of CLIP Surgery over CLIP: mIoU +22.1 to +36.0, mSC +47.7 to +65.2 "
        f"({_NOTES}; confidence C).",
    }
)
"""What was published of a protocol as a range, which is no number of one data set."""


def find_published(*, dataset: str, method: str) -> tuple[Published, ...]:
    """What was published for a data set and a method with its settings, by any protocol.

    Example:
        >>> [one.value for one in find_published(dataset="cityscapes", method="clip_surgery")]
        [31.4]
    """
    own = _settings_of(method)
    return tuple(
        one for one in PUBLISHED if one.dataset == dataset and _settings_of(one.method) == own
    )


@cache
def _settings_of(method: str) -> str:
    """A method with all its settings; "clip_surgery(depth=6)" is "clip_surgery" in other words."""
    try:
        return ", ".join(map(repr, parse_methods(method).values()))
    except InputError:  # a report's row may have any name
        return method
