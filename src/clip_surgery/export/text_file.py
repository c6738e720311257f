"""Write and read text features as a safetensors file, for programs without a text tower."""

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
    """Write text features with their texts, templates, model and fingerprint.

    The tensors are `labels` (C, D), `empty` (D,), `reference` (R, D) if there are reference words,
    and `shared` (R, D) for a dense method: the features from which it computes the similarity that
    all texts share, see `shared_rows`. All are float32 of unit length.

    Args:
        path: the file to write or to replace.
        features: the text features.
        explainer: the explainer that computed the features.

    Raises:
        InputError: if the file cannot be written.
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
    """Return the text features of a file that `save_texts` wrote, and the facts about them.

    Raises:
        InputError: if the file is missing, damaged or of another format.
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
    """Return the features (R, D) whose weighted mean similarity is what all texts share.

    With these rows, one formula is valid for all settings of `redundancy`. Let S and c be the
    cosines of patches and image with the texts, S' and c' those with the R rows, tau the
    temperature, w = exp(tau c) / mean(exp(tau c')) and w' = exp(tau c') / mean(exp(tau c')).
    The evidence is S or w S (see `weighting_of`), minus the mean of w' S' over the rows. The empty
    text as the only row results in S - S_empty, and a row of zeros in S.

    Args:
        method: the dense method.
        features: the text features.

    Raises:
        InputError: if the method needs reference words and there are none.
    """
    source = method.redundancy_source(features)
    if source == "none":
        return features.empty.new_zeros(1, len(features.empty))
    if source == "vocabulary":
        if features.reference is None:
            raise InputError("Expected reference words for redundancy='vocabulary', but got none.")
        return features.reference
    if source == "empty text":
        return features.empty[None]
    return features.labels


def weighting_of(method: DenseMethod, features: TextFeatures) -> str:
    """Return the first term in the formula of `shared_rows`: S ("paper") or w S ("reference")."""
    unweighted = method.redundancy_source(features) in ("none", "empty text")
    return "paper" if unweighted else method.weighting
