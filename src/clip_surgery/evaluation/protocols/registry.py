"""Protocols: how the field measures, as named data.

Papers leave part of it open; `source` says where each is from, what it leaves open, and what is
taken here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.protocols.protocol import Protocol
from clip_surgery.windows import Windows

__all__ = ["PROTOCOLS", "Protocol", "default_protocol", "protocol_named"]


def _by_name(*protocols: Protocol) -> Mapping[str, Protocol]:
    names = [protocol.name for protocol in protocols]
    if len(set(names)) < len(names):
        raise InputError(f"Expected names of protocols to be unique, but got {', '.join(names)}.")
    return MappingProxyType({protocol.name: protocol for protocol in protocols})


_SLIDING_WINDOW = Protocol(
    name="sliding_window",
    source="ClearCLIP (arXiv 2407.12442) after SCLIP (2312.01597): short side 448 px (SCLIP: 336, "
    "and 560 for Cityscapes), windows of 224 px 112 px apart, 80 ImageNet templates, a class is "
    "the best of its aliases, argmax over all classes. Open: the aliases, which each repository "
    "has its own list of, and which MaskCLIP ClearCLIP's table ran. Differs here: windows are "
    "blended with less weight at their rim, where mmsegmentation takes the plain mean, and sides "
    "are rounded to whole patches.",
    metrics=("segmentation",),
    windows=Windows(size=448, crop=224, stride=112),
    templates="imagenet",
    prompts="aliases",
    labels="all",
    background="none",
    methods=("similarity", "maskclip", "sclip", "gem", "clearclip", "clip_surgery"),
)

PROTOCOLS: Mapping[str, Protocol] = _by_name(
    Protocol(
        name="scenes",
        source="This library's own. Every image at the model's size with its ratio kept, every "
        "name asked for; what the tables of benchmarks/RESULTS.md were measured with.",
        metrics=(
            *("score_contrast", "explainability_iou", "pixel_ranking"),
            *("pointing", "noise_share", "presence"),
        ),
        methods=("similarity", "maskclip", "clip_surgery(redundancy=none)", "clip_surgery"),
    ),
    Protocol(
        name="paper_explainability",
        source="CLIP Surgery (arXiv 2304.05653), explainability: the map of each label that is in "
        "the image, min-maxed, against its mask; mIoU over a threshold found by search, and "
        "mSC. Open: over what the threshold is searched (all three rules are reported), the size "
        "(224 px here, the models' own) and how an image is brought to it (squashed, as the "
        "released demo does), whether all labels of the data set enter feature surgery (here "
        "they do), and half precision, which the authors ran.",
        metrics=("score_contrast", "explainability_iou", "pixel_ranking", "pointing"),
        size=224,
        framing="squash",
    ),
    Protocol(
        name="paper_segmentation",
        source="CLIP Surgery (arXiv 2304.05653), Table 6: argmax over all labels of the new path's "
        "similarity at 512 px, without feature surgery and without post-processing. Open: how a "
        "image is brought to 512 px (squashed here, as the released demo does), which spelling "
        "of the class names, and half precision, which the authors ran.",
        metrics=("segmentation",),
        size=512,
        framing="squash",
        labels="all",
        background="none",
        methods=("similarity", "maskclip", "clip_surgery"),
    ),
    Protocol(
        name="paper_tags",
        source="CLIP Surgery (arXiv 2304.05653), Table 8: feature surgery on the class feature "
        "against CLIP's softmax, mean average precision over classes. Open: the size of an image "
        "(224 px, squashed, here) and the spelling of the class names.",
        metrics=("tags",),
        size=224,
        framing="squash",
        methods=("similarity",),
    ),
    Protocol(
        name="labels_given",
        source="A later paper's rerun of CLIP Surgery (algorithms.md, section 7, confidence B): "
        "the labels of an image are given, the winner's min-maxed map must reach 0.60, "
        "background counts as a class. Open: the size (512 px, squashed, here) and whether the "
        "maps are those of feature surgery (not here).",
        metrics=("segmentation",),
        size=512,
        framing="squash",
        labels="present",
        background="threshold",
        threshold=0.6,
        methods=("clip_surgery",),
    ),
    _SLIDING_WINDOW,
    replace(
        _SLIDING_WINDOW,
        name="sliding_window_background",
        source="As sliding_window, with background words that compete with the classes: what "
        "belongs to one of them is background, and background counts as a class (SCLIP's COCO "
        "objects; in VOC21 and Context60 background is a class of the data set itself).",
        background="words",
    ),
)
"""The protocols that have a name."""

_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("scenes", "folder"), "scenes"),
        **dict.fromkeys(("voc20", "context59", "coco", "imagenet_s50"), "paper_explainability"),
        **dict.fromkeys(("coco_stuff", "cityscapes", "ade20k"), "paper_segmentation"),
        **dict.fromkeys(("voc21", "context60"), "sliding_window"),
        **dict.fromkeys(("voc07", "coco_tags", "nus_wide"), "paper_tags"),
    }
)


def protocol_named(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        UnknownNameError: lists the near ones.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError.among("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def default_protocol(dataset: str) -> Protocol:
    """What a data set of this registered name is measured with when nobody says.

    Example:
        >>> default_protocol("nus_wide").name
        'paper_tags'
    """
    return PROTOCOLS[_DEFAULTS.get(dataset, "scenes")]
