"""The fields of an explanation: their shapes, and their form in files (tensors and JSON values)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor

from clip_surgery.calibrated_presence import coefficients_of
from clip_surgery.deferred_tensor import unread
from clip_surgery.errors import InputError
from clip_surgery.framing import Framing, Size
from clip_surgery.presence_rule import PresenceRule

if TYPE_CHECKING:
    from clip_surgery.explanation import Explanation


def to_parts(explanation: Explanation) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of an explanation by name, and its other fields as JSON values."""
    tensors = {"image_scores": explanation.image_scores}
    if explanation.reference_log_ratios is not None:
        tensors["reference_log_ratios"] = explanation.reference_log_ratios
    for name in ("patch_scores", "similarity"):
        for index, scores in enumerate(getattr(explanation, name) or ()):
            tensors[f"{name}.{index}"] = scores
    return tensors, {
        "texts": explanation.texts,
        "with_similarity": explanation.similarity is not None,
        "framings": [asdict(framing) for framing in explanation.framings],
        "images": explanation.images,
        "method": explanation.method,
        "backbone": explanation.backbone,
        "presence_rule": None
        if explanation.presence_rule is None
        else coefficients_of(explanation.presence_rule),
    }


def fields_from_parts(tensors: dict[str, Tensor], values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an explanation from the two results of `to_parts`.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: if a tensor or value is missing or of
            another kind; the caller knows which file is damaged.
    """
    count = len(values["images"])
    return {
        "patch_scores": tuple(tensors[f"patch_scores.{index}"] for index in range(count)),
        "similarity": tuple(tensors[f"similarity.{index}"] for index in range(count))
        if values["with_similarity"]
        else None,
        "image_scores": tensors["image_scores"],
        "texts": tuple(values["texts"]),
        "framings": tuple(
            Framing(**{name: Size(*size) for name, size in framing.items()})
            for framing in values["framings"]
        ),
        "images": tuple(values["images"]),
        "method": values["method"],
        "backbone": values["backbone"],
        "reference_log_ratios": tensors.get("reference_log_ratios"),
        "presence_rule": PresenceRule(**rule) if (rule := values.get("presence_rule")) else None,
    }


def check_shapes(explanation: Explanation) -> None:
    """Raise an `InputError` if the lengths and shapes of the fields do not agree."""
    images, texts = len(explanation.patch_scores), len(explanation.texts)
    for name in ("framings", "images", "similarity"):
        values = getattr(explanation, name)
        if values is not None and len(values) != images:
            raise InputError(f"Expected {name} for {images} images, but got {len(values)}.")
    pairs = {
        "image_scores": (explanation.image_scores, (images, texts)),
        "reference_log_ratios": (
            unread(explanation, "reference_log_ratios"),
            (images, 2, texts),
        ),
    }
    for name, (tensor, expected) in pairs.items():
        if isinstance(tensor, Tensor) and tuple(tensor.shape) != expected:
            raise InputError(f"Expected {name} of shape {expected}, but got {tuple(tensor.shape)}.")
    for name in ("patch_scores", "similarity"):
        for scores in getattr(explanation, name) or ():
            if scores.ndim != 3 or scores.shape[0] != texts:
                raise InputError(
                    f"Expected {name} of shape ({texts}, rows, columns), "
                    f"but got {tuple(scores.shape)}."
                )
