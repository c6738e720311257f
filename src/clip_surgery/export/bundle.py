"""Bundle: a folder that holds a model for use without this library.

`tower.onnx` (or `tower.pt2`) is the image tower with its method, `bundle.json` says how images
are framed for it and, for a fixed vocabulary, how evidence is made of its features and of the
texts in `bank.safetensors`; docs/examples/onnx_bundle.py is a whole program that runs one. What is
written is run and held against the model before it takes its place in the folder.
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

import torch

from clip_surgery.errors import (
    ClipSurgeryError,
    InputError,
    UnknownNameError,
    UnsupportedModelError,
)
from clip_surgery.explainer import Explainer
from clip_surgery.export.onnx_file import INPUTS, OUTPUTS, open_onnx, require_onnx, write_onnx
from clip_surgery.export.text_file import save_texts, shared_rows, weighting_of
from clip_surgery.export.torch_file import open_torch, write_torch
from clip_surgery.export.traced_tower import LEAST_PATCHES, ImageTower, dense, trace_tower
from clip_surgery.text.features import TextFeatures

ExportFormat = Literal["onnx", "torch"]

FORMAT = "clip-surgery bundle 1"
BANK = "bank.safetensors"
FACTS = "bundle.json"
TOWERS = {"onnx": "tower.onnx", "torch": "tower.pt2"}
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""How far a feature of unit length may lie from the model's own, an entry."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What was written.

    Attributes:
        folder: where.
        files: names of the files in it.
        difference: the largest one between an entry of the file's features and the model's own,
            over the grids that were tried.
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
) -> Bundle:
    """Write the explainer's image tower and method, and the texts of a fixed vocabulary.

    Files of those names that are in the folder are replaced, once all of the new ones are right.

    Args:
        explainer: model, method (one that gives every patch a feature), templates and size.
        folder: made if it is not there.
        to: "onnx" or "torch".
        texts: the vocabulary; without it no bank is written.

    Raises:
        UnknownNameError: for another format.
        InputError: for texts, a method or a folder that cannot be used.
        UnsupportedModelError: when the tower cannot be traced, or comes out otherwise.
        MissingExtraError: without onnx, onnxscript and onnxruntime.
    """
    if to not in get_args(ExportFormat):
        raise UnknownNameError.among("export format", to, get_args(ExportFormat))
    dense(explainer.method)
    if to == "onnx":
        require_onnx()
    features = None if texts is None else explainer.encode(texts)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".export-") as made:
            difference = _write(explainer, Path(made), to, features)
            files = sorted(path.name for path in Path(made).iterdir())
            for name in sorted(files, key=lambda name: name == FACTS):  # facts come last
                os.replace(Path(made, name), target / name)
    except OSError as error:
        if isinstance(error, ClipSurgeryError):
            raise
        raise InputError(f"{target}: cannot be written ({error.strerror or error}).") from error
    return Bundle(folder=target, files=tuple(files), difference=difference)


def _write(
    explainer: Explainer, folder: Path, to: ExportFormat, features: TextFeatures | None
) -> float:
    """Write all files, and hold the tower's against the model."""
    tower = ImageTower(explainer.backbone, explainer.method)
    program = trace_tower(tower)
    path = folder / TOWERS[to]
    if to == "onnx":
        write_onnx(program, path)
    else:
        write_torch(program, path)
    difference = _largest_difference(tower, path)
    write_facts(explainer, folder, to, features)
    return difference


def write_facts(
    explainer: Explainer, folder: Path, to: ExportFormat, features: TextFeatures | None
) -> None:
    """Write all of a bundle but its tower: the facts, and the bank where there are texts."""
    if features is not None:
        save_texts(folder / BANK, features, explainer)
    facts = json.dumps(_facts(explainer, to, features), indent=2, ensure_ascii=False)
    (folder / FACTS).write_text(facts + "\n", encoding="utf-8")


def _largest_difference(tower: ImageTower, path: Path) -> float:
    """Run the file and the model on noise of three grids.

    Raises:
        UnsupportedModelError: when they differ by more than the weights' type explains.
    """
    native = max(LEAST_PATCHES, tower.backbone.image_size // tower.backbone.tower.patch_size)
    run = (open_onnx if path.suffix == ".onnx" else open_torch)(path)
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for shape in ((1, native, native), (2, native, native + 2), (3, 2, 4)):
        like = tower.example(*shape)
        pixels = torch.rand(like.shape, generator=generator).to(like.device)
        with torch.no_grad():
            wanted = tower(pixels)
        for found, own in zip(run(pixels), wanted, strict=True):
            largest = max(
                largest, float((found.cpu() - own.cpu()).abs().max().nan_to_num(torch.inf))
            )
    if largest > TOLERANCE.get(tower.dtype, 1e-4):
        raise UnsupportedModelError(
            f"{tower.backbone.name}: the exported tower's features differ from the model's by "
            f"{largest:.1e}; nothing was written."
        )
    return largest


def _facts(explainer: Explainer, to: ExportFormat, features: TextFeatures | None) -> dict[str, Any]:
    """What a program must know to use the files."""
    backbone, method = explainer.backbone, dense(explainer.method)
    facts = {
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
        "least_patches": LEAST_PATCHES,
        "framing": explainer.framing.mode,
        "size": explainer.framing.size or backbone.image_size,
        "logit_scale": backbone.logit_scale,
    }
    if features is None:
        return facts
    return facts | {
        "bank": BANK,
        "texts": features.texts,
        "redundancy": method.redundancy,
        "shared": len(shared_rows(method, features)),
        "weighting": weighting_of(method, features),
        "temperature": method.temperature,
    }
