"""The evaluation protocols of publications, and of this library, by name.

Publications leave some of the settings open. `source` says where a protocol is from, what its
source leaves open, and which setting is used here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.protocols.benchmarks import FAMILIES, benchmark_protocol
from clip_surgery.evaluation.protocols.protocol import Protocol
from clip_surgery.windows import Windows

__all__ = ["PROTOCOLS", "Protocol", "default_protocol", "protocol_for", "protocol_named"]


def _by_name(*protocols: Protocol) -> Mapping[str, Protocol]:
    names = [protocol.name for protocol in protocols]
    if len(set(names)) < len(names):
        raise InputError(f"Expected names of protocols to be unique, but got {', '.join(names)}.")
    return MappingProxyType({protocol.name: protocol for protocol in protocols})


_SLIDING_WINDOW = Protocol(
    name="sliding_window",
    source="ClearCLIP (arXiv 2407.12442), following SCLIP (arXiv 2312.01597): short side 448 px "
    "(SCLIP: 336 px, and 560 px for Cityscapes), windows of 224 px with a stride of 112 "
    "px, 80 ImageNet templates, the score of a class is the maximum over its aliases, "
    "argmax over all classes. Open: the aliases, of which each repository has its own "
    "list, and the variant of MaskCLIP in the table of ClearCLIP. Different here: windows "
    "are blended with lower weights at their borders, where mmsegmentation takes the plain "
    "mean, and sides are rounded to whole patches.",
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
        source="A protocol of this library: images at the size of the model with their aspect "
        "ratio, all class names. The tables of benchmarks/RESULTS.md were computed with "
        "it.",
        metrics=(
            *("score_contrast", "explainability_iou", "pixel_ranking"),
            *("pointing", "noise_share", "presence"),
        ),
        methods=("similarity", "maskclip", "clip_surgery(redundancy=none)", "clip_surgery"),
    ),
    Protocol(
        name="paper_explainability",
        source="CLIP Surgery (arXiv 2304.05653), explainability: the min-max scaled map of each "
        "class in the image against its mask; mIoU at a threshold that is searched for, "
        "and mSC. Open: the data over which the threshold is searched (three rules are "
        "reported), the size (224 px here, the size of the models), how images are resized "
        "to it (squashed here, as in the released demo), whether feature surgery uses all "
        "classes of the data set (here it does), and the precision (the authors used half "
        "precision).",
        metrics=("score_contrast", "explainability_iou", "pixel_ranking", "pointing"),
        size=224,
        framing="squash",
    ),
    Protocol(
        name="paper_segmentation",
        source="CLIP Surgery (arXiv 2304.05653), Table 6: argmax over all classes of the "
        "similarity of the new path at 512 px, without feature surgery and without "
        "post-processing. Open: how images are resized to 512 px (squashed here, as in the "
        "released demo), the spelling of the class names, and the precision (the authors "
        "used half precision).",
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
        "against CLIP's softmax, mean average precision over classes. Open: the size of "
        "images (224 px, squashed, here) and the spelling of the class names.",
        metrics=("tags",),
        size=224,
        framing="squash",
        methods=("similarity",),
    ),
    Protocol(
        name="labels_given",
        source="A protocol of this library for segmentation with given labels: only the classes "
        "in the image compete, pixels where the min-max scaled map of the best class is "
        "below 0.60 are background, and background counts as a class. Images are squashed "
        "to 512 px, and the maps are those without feature surgery.",
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
        source="As sliding_window, with background words that compete with the classes. A pixel "
        "whose best text is a background word is background, and background counts as a "
        "class (as for COCO objects in SCLIP, arXiv 2312.01597). In VOC21 and Context60 "
        "background is a class of the data set.",
        background="words",
    ),
)
"""All protocols by name."""

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
    """Return the protocol of this name.

    Raises:
        UnknownNameError: if there is no protocol of this name; the message lists similar names.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError.among("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def protocol_for(name: str, dataset: str) -> Protocol:
    """Return the protocol of this name; that of the data set if it is a family of protocols.

    Args:
        name: a key of `PROTOCOLS`, or a family of `benchmarks.FAMILIES` such as "sc_clip".
        dataset: registered name of the data set.

    Raises:
        UnknownNameError: if the name is unknown, or the family has no settings for the data set.

    Example:
        >>> protocol_for("sc_clip", "voc21").windows.size
        336
    """
    if name in FAMILIES:
        return benchmark_protocol(name, dataset)
    if name not in PROTOCOLS:
        raise UnknownNameError.among("protocol", name, [*PROTOCOLS, *FAMILIES])
    return PROTOCOLS[name]


def default_protocol(dataset: str) -> Protocol:
    """Return the default protocol of a data set; "scenes" for data sets of other packages.

    Args:
        dataset: registered name of the data set.

    Example:
        >>> default_protocol("nus_wide").name
        'paper_tags'
    """
    return PROTOCOLS[_DEFAULTS.get(dataset, "scenes")]
