"""The settings that authors of training-free segmentation used on the eight benchmarks, as data.

`benchmark_protocol("sc_clip", "voc21")` is the protocol of SC-CLIP on VOC21. A family of protocols
is named after the method whose released code has its settings: the short side of the image, windows
and their stride, the lowest probability of a class, the logit scale and the settings of the method.
Sources are the released codes (see `SOURCES`). What all of them share: the score of a class is that
of its best name, 80 ImageNet templates, softmax over all names, and a pixel whose best name is less
likely than the threshold is background. Different here, for every family: class names and aliases
are those of `evaluation.datasets.names`, because each author has another list, which
`PromptedClasses` reads; windows are blended with lower weights at their borders, where the codes
take the plain mean; the weights are in single precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from clip_surgery.errors import UnknownNameError
from clip_surgery.evaluation.protocols.protocol import Protocol
from clip_surgery.windows import Stitch, Windows

Value = TypeVar("Value", int, int | None)

BENCHMARKS = (
    *("voc21", "context60", "coco"),
    *("voc20", "cityscapes", "context59", "ade20k", "coco_stuff"),
)
"""Registered names of the data sets; background counts as a class in the first three."""
WITH_BACKGROUND = BENCHMARKS[:3]


@dataclass(frozen=True, kw_only=True)
class BenchmarkSetting:
    """The settings of one family of protocols on one data set.

    Attributes:
        short_side: short side of the image in pixels.
        crop: side of the windows in pixels; None explains the image whole.
        stride: distance between windows in pixels.
        stitch: what of windows is averaged.
        threshold: lowest softmax probability of the best name; 0 where background is no class.
        logit_scale: factor on the cosines before the softmax.
        method: settings of the method that differ from its defaults, as on the command line.
        note: what of the released code is left out here.
    """

    short_side: int
    crop: int | None = 224
    stride: int = 112
    stitch: Stitch = "logits"
    threshold: float = 0.0
    logit_scale: float = 40.0
    method: str = ""
    note: str = ""


SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "sc_clip": "SC-CLIP (arXiv 2411.15869), its released code of 2025-03",
        "sfp": "SFP (ICCV 2025), its released code of 2026-04",
        "res_clip": "ResCLIP (arXiv 2411.15851), its released code of 2025-10",
        "pearl": "PEARL, its released code of 2026-03",
        "proxy_clip": "ProxyCLIP (arXiv 2408.04883), its released code of 2024-09",
        "cass": "CASS, its released code of 2025-03",
        "trident": "Trident (arXiv 2411.09219), its released code of 2025-06",
        "corr_clip": "CorrCLIP (arXiv 2411.10086), its released code of 2026-08, first version",
        "lposs": "LPOSS, its released code of 2025-11",
        "free_cp": "FreeCP, its released code of 2025-11",
        "ita_clip": "ITACLIP (arXiv 2411.12044), its released code of 2026-02",
        "rf_clip": "RF-CLIP (arXiv 2511.16170), its released code",
    }
)
"""Families of protocols by the method whose code they are from."""


def benchmark_setting(family: str, dataset: str) -> BenchmarkSetting:
    """Return the settings of a family of protocols on a data set.

    Raises:
        UnknownNameError: if the family or the data set is unknown.

    Example:
        >>> benchmark_setting("sc_clip", "coco")
        BenchmarkSetting(short_side=336, crop=224, stride=112, stitch='logits', threshold=0.35,
        logit_scale=55, method='', note='')
    """
    if family not in _SETTINGS:
        raise UnknownNameError.among("family of protocols", family, _SETTINGS)
    if dataset not in BENCHMARKS:
        raise UnknownNameError.among("benchmark", dataset, BENCHMARKS)
    return _SETTINGS[family][dataset]


def benchmark_protocol(family: str, dataset: str) -> Protocol:
    """Return the protocol of a family on a data set, named for example "sc_clip on voc21".

    Raises:
        UnknownNameError: if the family or the data set is unknown.

    Example:
        >>> protocol = benchmark_protocol("proxy_clip", "cityscapes")
        >>> protocol.name, protocol.windows.size, protocol.windows.stride
        ('proxy_clip on cityscapes', 448, 112)
    """
    setting = benchmark_setting(family, dataset)
    counts_background = dataset in WITH_BACKGROUND
    note = f" Left out here: {setting.note}." if setting.note else ""
    return Protocol(
        name=f"{family} on {dataset}",
        source=f"{SOURCES[family]}. See `evaluation.protocols.benchmarks`.{note}",
        metrics=("segmentation",),
        size=setting.short_side if setting.crop is None else None,
        windows=None
        if setting.crop is None
        else Windows(
            size=setting.short_side,
            crop=setting.crop,
            stride=setting.stride,
            stitch=setting.stitch,
        ),
        templates="imagenet",
        prompts="aliases",
        labels="all",
        background="probability" if counts_background else "none",
        background_words=dataset == "coco",
        threshold=setting.threshold,
        logit_scale=setting.logit_scale,
        methods=(f"{family}({setting.method})" if setting.method else family,),
    )


def _settings(
    short_side: int | Mapping[str, int],
    *,
    thresholds: tuple[float, float, float],
    crop: int | Mapping[str, int | None] = 224,
    stride: int | Mapping[str, int] = 112,
    stitch: Stitch = "logits",
    scales: Mapping[str, float] = MappingProxyType({}),
    methods: Mapping[str, str] = MappingProxyType({}),
    note: str = "",
) -> Mapping[str, BenchmarkSetting]:
    """The settings of one family on all data sets; a mapping has "" for data sets it lacks."""
    lowest = dict(zip(WITH_BACKGROUND, thresholds, strict=True))
    return MappingProxyType(
        {
            dataset: BenchmarkSetting(
                short_side=_of(short_side, dataset),
                crop=_of(crop, dataset),
                stride=_of(stride, dataset),
                stitch=stitch,
                threshold=lowest.get(dataset, 0.0),
                logit_scale=scales.get(dataset, 40.0),
                method=methods.get(dataset, ""),
                note=note,
            )
            for dataset in BENCHMARKS
        }
    )


def _of(values: Value | Mapping[str, Value], dataset: str) -> Value:
    """The value of a data set; that of "" if the mapping lacks it."""
    return values.get(dataset, values[""]) if isinstance(values, Mapping) else values


def _columns(names: tuple[str, ...], rows: Mapping[str, tuple[float, ...]]) -> dict[str, str]:
    """For each data set the settings of a method with these names, as on the command line."""
    return {
        dataset: ", ".join(f"{name}={value:g}" for name, value in zip(names, row, strict=True))
        for dataset, row in rows.items()
    }


_CITY = MappingProxyType({"": 336, "cityscapes": 560})
_VOC_WHOLE = MappingProxyType({"": 224, "voc20": None, "voc21": None})
_MOVED_TEXTS = _columns(  # those of CASS, which RF-CLIP kept
    ("global_share", "text_shift", "cut"),
    {
        "voc21": (0.1, 0.03, 0.1),
        "context60": (0.25, 0.04, 0.09),
        "coco": (0.25, 0.01, 0.1),
        "voc20": (0.4, 0.02, 0.1),
        "cityscapes": (0.1, 0.03, 0.14),
        "context59": (0.25, 0.04, 0.09),
        "ade20k": (0.3, 0.05, 0.06),
        "coco_stuff": (0.2, 0.02, 0.02),
    },
)
_SETTINGS: Mapping[str, Mapping[str, BenchmarkSetting]] = MappingProxyType(
    {
        "sc_clip": _settings(
            _CITY,
            thresholds=(0.15, 0.15, 0.35),
            scales={"voc21": 50, "coco": 55},
        ),
        "sfp": _settings(
            {**_CITY, "ade20k": 384},
            thresholds=(0.15, 0.15, 0.35),
            scales={"voc21": 50, "coco": 55},
            note="on VOC21, classes under 10 % of the foreground are removed",
        ),
        "res_clip": _settings(
            _CITY,
            thresholds=(0.1, 0.1, 0.1),
            crop=_VOC_WHOLE,
            methods=_columns(
                ("middle_share", "sharpness", "feedback_share", "feedback_threshold"),
                {
                    "voc21": (0.3, 2.2, 0.7, 0.5),
                    "context60": (0.3, 1.8, 0.7, 0.3),
                    "coco": (0.4, 1.8, 0.7, 0.11),
                    "voc20": (0.6, 2.1, 0.6, 0.1),
                    "cityscapes": (0.2, 2.1, 0.6, 0.1),
                    "context59": (0.4, 1.8, 0.7, 0.25),
                    "ade20k": (0.3, 2.1, 0.7, 0.25),
                    "coco_stuff": (0.4, 1.8, 0.7, 0.11),
                },
            ),
        ),
        "pearl": _settings(
            _CITY,
            thresholds=(0.1, 0.1, 0.1),
            crop=_VOC_WHOLE,
            methods=_columns(("key_weight",), {"ade20k": (0.3,), "cityscapes": (0.3,)}),
            note="the Laplacian refinement, which is the setting refine of the method",
        ),
        "proxy_clip": _settings(
            {"": 336, "cityscapes": 448, "ade20k": 448},
            thresholds=(0.2, 0.15, 0.25),
            crop={"": 336, "cityscapes": 224},
        ),
        "cass": _settings(
            _CITY,
            thresholds=(0.1, 0.1, 0.1),
            crop={"": 224, "voc21": None},
            methods=_MOVED_TEXTS,
            note="the class token of the whole image; here it is that of the window",
        ),
        "rf_clip": _settings(
            _CITY,
            thresholds=(0.1, 0.1, 0.1),
            crop={"": 224, "voc21": None, "coco_stuff": None},
            methods=_MOVED_TEXTS,
            note="the class token of the whole image; here it is that of the window",
        ),
        "trident": _settings(
            {
                "": 576,
                "voc21": 448,
                "coco": 448,
                "coco_stuff": 448,
                "cityscapes": 688,
                "voc20": 336,
            },
            thresholds=(0.2, 0.15, 0.25),
            crop=336,
            stride={"": 224, "voc20": 112},
            stitch="outputs",
            methods={"cityscapes": "key_centring=3", "voc20": "key_centring=0"},
            note="regions redrawn by SAM; Cityscapes in two halves",
        ),
        "corr_clip": _settings(
            {"": 336, "cityscapes": 448, "ade20k": 448},
            thresholds=(0.2, 0.15, 0.25),
            crop={"": 336, "cityscapes": 224},
            note="the vote of each region on the pixels of the final map",
        ),
        "lposs": _settings(
            448,
            thresholds=(0.0, 0.0, 0.0),
            note="propagation over all windows at once",
        ),
        "free_cp": _settings(
            {"": 448, "cityscapes": 560},
            thresholds=(0.0, 0.0, 0.0),
            crop={"": 384, "cityscapes": 224},
            note="background as one minus the best score",
        ),
        "ita_clip": _settings(
            {"": 336, "coco_stuff": 448, "cityscapes": 560},
            thresholds=(0.1, 0.1, 0.1),
            stride=28,
            scales={"voc21": 60, "context60": 55, "coco": 50},
            note="views of the image, texts of a language model, and the closing of the final map",
        ),
    }
)
FAMILIES = tuple(_SETTINGS)
"""Names of all families of protocols."""
