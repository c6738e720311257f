"""Text features as a safetensors file: what a program without a text tower needs of the texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.storage.tensor_file import read_tensors, write_tensors
from clip_surgery.text.features import TextFeatures

FORMAT = "clip-surgery texts 1"


def save_texts(path: str | Path, features: TextFeatures, explainer: Explainer) -> None:
    """Write text features with what they were made by: texts, templates, model, fingerprint.

    The tensors are `labels` (C, D) and `empty` (D,), `reference` (R, D) where there is one, and
    `shared` (R, D): the rows that the method of the explainer takes the redundant part from, see
    `shared_rows`. All are float32 of unit length.

    Raises:
        InputError: when the file cannot be written.
    """
    tensors = {"labels": features.labels, "empty": features.empty}
    if features.reference is not None:
        tensors["reference"] = features.reference
    if isinstance(explainer.method, DenseMethod):
        tensors["shared"] = shared_rows(explainer.method, features)
    facts = {
        "texts": list(features.texts),
        "templates": list(explainer.templates),
        "model": explainer.backbone.name,
        "fingerprint": explainer.backbone.fingerprint(),
        "method": repr(explainer.method),
    }
    write_tensors(
        path, {name: value.float() for name, value in tensors.items()}, facts, kind=FORMAT
    )


def load_texts(path: str | Path) -> tuple[TextFeatures, dict[str, Any]]:
    """Read text features and the facts beside them.

    Raises:
        InputError: when the file is missing, damaged or of another format.
    """
    tensors, facts = read_tensors(path, kind=FORMAT)
    try:
        features = TextFeatures(
            texts=tuple(facts["texts"]),
            labels=tensors["labels"],
            empty=tensors["empty"],
            reference=tensors.get("reference"),
        )
    except (KeyError, InputError) as error:
        raise InputError(f"{path}: the text features are damaged ({error}).") from error
    return features, facts


def shared_rows(method: DenseMethod, features: TextFeatures) -> Tensor:
    """The rows (R, D) whose weighted mean is what the texts share, so that one formula serves.

    With S, c the cosines of patches and image with the labels, S', c' those with these rows:
    w = exp(tau c) / mean exp(tau c'), w' likewise, evidence = S or w S (weighting), less
    mean_r(w' S'). One empty text gives S - S_empty, and rows of zeros give S.

    Raises:
        InputError: when the method wants reference words and there are none.
    """
    if method.redundancy == "none":
        return features.empty.new_zeros(1, len(features.empty))
    if method.redundancy == "vocabulary":
        if features.reference is None:
            raise InputError("Expected reference words for redundancy='vocabulary', but got none.")
        return features.reference
    if method.redundancy == "empty text" or len(features.texts) == 1:
        return features.empty[None]
    return features.labels


def weighting_of(method: DenseMethod, features: TextFeatures) -> str:
    """Which of S ("paper") and w S ("reference") that formula takes for this method."""
    plain = method.redundancy in ("none", "empty text")
    single = method.redundancy == "labels" and len(features.texts) == 1
    return "paper" if plain or single else method.weighting
