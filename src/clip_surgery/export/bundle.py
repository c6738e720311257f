"""Export a bundle: a folder with a model for use without this library.

`tower.onnx` (or `tower.pt2`) is the image tower with its method. `bundle.json` describes how images
are framed for it and, for a fixed vocabulary, how evidence is computed from its features and from
those of the texts in `bank.safetensors`. docs/examples/onnx_bundle.py is a program that runs a
bundle. The exported tower is run and compared with the model before the files in the folder are
replaced.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from clip_surgery.errors import (
    ClipSurgeryError,
    InputError,
    UnknownNameError,
)
from clip_surgery.explainer import Explainer
from clip_surgery.export.fidelity import largest_difference, native_patches
from clip_surgery.export.onnx_file import INPUTS, OUTPUTS, open_onnx, require_onnx, write_onnx
from clip_surgery.export.quantised import (
    Weights,
    calibration_pixels,
    check_weights,
    quantise,
)
from clip_surgery.export.text_file import save_texts, shared_rows, weighting_of
from clip_surgery.export.torch_file import open_torch, write_torch
from clip_surgery.export.traced_tower import MIN_PATCHES, ImageTower, require_dense, trace_tower
from clip_surgery.inputs.images import ImageSource
from clip_surgery.text.features import TextFeatures

ExportFormat = Literal["onnx", "torch"]

FORMAT = "clip-surgery bundle 1"
BANK = "bank.safetensors"
DESCRIPTION = "bundle.json"
TOWERS = {"onnx": "tower.onnx", "torch": "tower.pt2"}


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The files of an exported bundle.

    Attributes:
        folder: the folder.
        files: names of the files in it.
        difference: the largest absolute difference between an entry of the features of the exported
            tower and of the model, over the tested grids.
    """

    folder: Path
    files: tuple[str, ...]
    difference: float


def export_bundle(
    explainer: Explainer,
    folder: str | Path,
    *,
    to: ExportFormat = "onnx",
    texts: Sequence[str] | None = None,
    weights: Weights = "float32",
    calibration: Sequence[ImageSource] = (),
) -> Bundle:
    """Export the image tower and method of an explainer, and the features of a fixed vocabulary.

    Existing files of a bundle in the folder are replaced after all new files are written and
    checked.

    Args:
        explainer: the model with its method, templates and image size. The method must be a dense
            one, which computes a feature for every patch.
        folder: the folder, created if it does not exist.
        to: format of the tower, "onnx" or "torch".
        texts: the vocabulary. If None, no text features are written.
        weights: "float32", or "int8" for a smaller and faster file whose features differ a little.
            "int8" is for the format "onnx".
        calibration: images from which fixed ranges of activations are measured for "int8". If
            there are none, the ranges are measured in each run.

    Raises:
        UnknownNameError: if the format or the type of the weights is unknown.
        InputError: if the texts, the method or the folder cannot be used.
        UnsupportedModelError: if the tower cannot be traced, or if the features of the exported
            tower differ from those of the model.
        MissingExtraError: if the format is "onnx" and onnx, onnxscript or onnxruntime is missing.
    """
    if to not in get_args(ExportFormat):
        raise UnknownNameError.among("export format", to, get_args(ExportFormat))
    require_dense(explainer.method)
    check_weights(weights)
    if weights != "float32" and to != "onnx":
        raise InputError(f"Expected weights of float32 for the format {to}, but got {weights}.")
    if to == "onnx":
        require_onnx()
    features = None if texts is None else explainer.encode(texts)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".export-") as temporary:
            difference = _write(explainer, Path(temporary), to, features, weights, calibration)
            files = sorted(path.name for path in Path(temporary).iterdir())
            for name in sorted(
                files, key=lambda name: name == DESCRIPTION
            ):  # the description comes last
                os.replace(Path(temporary, name), target / name)
    except OSError as error:
        if isinstance(error, ClipSurgeryError):
            raise
        raise InputError(f"{target}: cannot be written ({error.strerror or error}).") from error
    return Bundle(folder=target, files=tuple(files), difference=difference)


def _write(
    explainer: Explainer,
    folder: Path,
    to: ExportFormat,
    features: TextFeatures | None,
    weights: Weights,
    calibration: Sequence[ImageSource],
) -> float:
    """Write all files, compare the exported tower with the model, and return the difference."""
    tower = ImageTower(explainer.backbone, explainer.method)
    program = trace_tower(tower)
    path = folder / TOWERS[to]
    if to == "onnx":
        write_onnx(program, path)
    else:
        write_torch(program, path)
    if weights == "int8":
        quantise(path, images=calibration_pixels(explainer, calibration))
    native = native_patches(tower)
    shapes = ((1, native, native), (2, native, native + 2), (3, 2, 4))
    run = (open_onnx if to == "onnx" else open_torch)(path)
    difference = largest_difference(tower, run, shapes, weights)
    write_description(explainer, folder, to, features)
    return difference


def write_description(
    explainer: Explainer, folder: Path, to: ExportFormat, features: TextFeatures | None
) -> None:
    """Write the description of a bundle, and the text features if there are any.

    Args:
        explainer: the exported model with its method and image size.
        folder: the folder of the bundle.
        to: format of the tower, "onnx" or "torch".
        features: features of the vocabulary, or None.
    """
    if features is not None:
        save_texts(folder / BANK, features, explainer)
    description = json.dumps(_description(explainer, to, features), indent=2, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(description + "\n", encoding="utf-8")


def _description(
    explainer: Explainer, to: ExportFormat, features: TextFeatures | None
) -> dict[str, Any]:
    """The facts that a program needs to use the files."""
    backbone, method = explainer.backbone, require_dense(explainer.method)
    description = {
        "format": FORMAT,
        "clip_surgery": version("clip-surgery"),
        "model": backbone.name,
        "method": repr(method),
        "tower": TOWERS[to],
        "inputs": {INPUTS[0]: "(B, 3, H, W) float32, RGB in [0, 1], sides of whole patches"},
        "outputs": dict(zip(OUTPUTS, ("(B, P, D) unit length", "(B, D) unit length"), strict=True)),
        "mean_inside": backbone.image_mean,
        "std_inside": backbone.image_std,
        "patch_size": backbone.tower.patch_size,
        "least_patches": MIN_PATCHES,
        "framing": explainer.framing.mode,
        "size": explainer.framing.size or backbone.image_size,
        "logit_scale": backbone.logit_scale,
    }
    if features is None:
        return description
    return description | {
        "bank": BANK,
        "texts": features.texts,
        "redundancy": method.redundancy,
        "shared": len(shared_rows(method, features)),
        "weighting": weighting_of(method, features),
        "temperature": method.temperature,
    }
