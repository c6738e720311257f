"""Write a static web site that explains images in the visitor's browser.

The site has the image tower as ONNX, the text features, the page and onnxruntime-web. It needs no
program on the server, and its page loads nothing from elsewhere. `model.json` describes the model.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from clip_surgery.errors import ClipSurgeryError, InputError, UnsupportedModelError
from clip_surgery.explainer import Explainer
from clip_surgery.export.fidelity import largest_difference, native_patches
from clip_surgery.export.half_weights import store_exact_halves
from clip_surgery.export.onnx_file import (
    MAX_EMBEDDED_BYTES,
    open_outputs,
    require_onnx,
    write_onnx,
)
from clip_surgery.export.quantised import (
    Weights,
    calibration_pixels,
    check_weights,
    quantise,
)
from clip_surgery.export.text_file import save_texts
from clip_surgery.export.traced_tower import MIN_PATCHES, require_dense, trace_tower
from clip_surgery.export.web.runtime import copy_runtime
from clip_surgery.export.web.tower import WEB_OUTPUTS, WebTower
from clip_surgery.export.web.words import TEXT_TOWER, write_text_tower
from clip_surgery.figures.overlay import COLOUR_MAP, colour_table
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.inputs.texts import check_texts
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.surgery.reference_log_ratios import BEST_SHARE
from clip_surgery.text.features import TextFeatures

FORMAT = "clip-surgery web 1"
DESCRIPTION, BANK, TOWER = "model.json", "bank.safetensors", "tower.onnx"
PART_BYTES = 48 * 2**20
"""Largest size of a file of weights; hosts of static files limit the size of a file."""
MAX_EXAMPLE_SIDE = 1024


@dataclass(frozen=True, kw_only=True)
class WebSite:
    """The files of an exported site.

    Attributes:
        folder: the folder.
        files: their names in it, with `/` as separator.
        difference: the largest absolute difference between an output of the exported tower and of
            the model, over the tested grids. Outputs are features of unit length and heads.
    """

    folder: Path
    files: tuple[str, ...]
    difference: float


def export_web(
    explainer: Explainer,
    folder: str | Path,
    *,
    texts: Sequence[str],
    any_word: bool = False,
    weights: Weights = "float32",
    calibration: Sequence[ImageSource] = (),
    examples: Sequence[str | Path] = (),
    webgpu: bool = True,
    runtime: str | Path | None = None,
) -> WebSite:
    """Write a static site on which visitors explain their own images in their browser.

    Existing files of a site in the folder are replaced after all new files are written and checked.

    Args:
        explainer: the model with its method, templates, reference words and image size. The method
            must be a dense one, which computes a feature for every patch.
        folder: the folder, created if it does not exist.
        texts: the words that visitors can choose.
        any_word: whether the site has the text tower too, so that visitors can use any word.
        weights: "float32", or "int8" for a smaller and faster image tower whose features differ a
            little.
        calibration: images from which fixed ranges of activations are measured for "int8". If
            there are none, the ranges are measured in each run.
        examples: images that the page offers, at most 1,024 px a side there.
        webgpu: whether the site has the 27 MB with which onnxruntime-web uses WebGPU.
        runtime: folder or archive of onnxruntime-web (see `copy_runtime`); None to fetch it.

    Raises:
        UnknownNameError: if the type of the weights is unknown.
        InputError: if the texts, images, method, runtime or the folder cannot be used.
        UnsupportedModelError: if the tower cannot be traced, or if the outputs of the exported
            tower differ from those of the model.
        MissingExtraError: if onnx, onnxscript or onnxruntime is missing.
    """
    method = require_dense(explainer.method)
    if type(method).__call__ is not DenseMethod.__call__:
        raise InputError(f"The maps of {method.name} are not those of its features.")
    check_weights(weights)
    require_onnx()
    features = explainer.encode(check_texts(texts))
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".export-") as temporary:
            new = Path(temporary)
            (new / "runtime").mkdir()
            source = None if runtime is None else Path(runtime)
            copy_runtime(new / "runtime", webgpu=webgpu, source=source)
            shown = _write_examples(new, examples)
            difference = write_tower(explainer, new / TOWER, weights, calibration)
            description = describe(explainer, features) | {
                "weights": weights,
                "webgpu": webgpu,
                "examples": shown,
                "tower": split_file(new / TOWER),
            }
            if any_word:
                facts = write_text_tower(explainer, new)
                description["text_tower"] = facts | split_file(new / TEXT_TOWER)
            save_texts(new / BANK, features, explainer)
            (new / DESCRIPTION).write_text(
                json.dumps(description, ensure_ascii=False), encoding="utf-8"
            )
            _write_page(new)
            written = _move(new, target)
    except OSError as error:
        if isinstance(error, ClipSurgeryError):
            raise
        raise InputError(f"{target}: cannot be written ({error.strerror or error}).") from error
    return WebSite(folder=target, files=written, difference=difference)


def write_tower(
    explainer: Explainer, path: Path, weights: Weights, calibration: Sequence[ImageSource]
) -> float:
    """Write the image tower of a page, and return its largest difference from the model.

    Raises:
        UnsupportedModelError: if the weights are too large for a browser, or the outputs differ.
    """
    tower = WebTower(explainer.backbone, explainer.method)
    size = sum(weight.numel() * weight.element_size() for weight in tower.parts.parameters())
    if size > MAX_EMBEDDED_BYTES:
        raise UnsupportedModelError(
            f"{explainer.backbone.name}: {size / 1e9:.1f} GB of weights are too much for a "
            f"browser, which has room for {MAX_EMBEDDED_BYTES / 1e9:.1f} GB."
        )
    write_onnx(trace_tower(tower), path, outputs=WEB_OUTPUTS)
    if weights == "int8":
        quantise(path, images=calibration_pixels(explainer, calibration))
    store_exact_halves(path)
    native = native_patches(tower)
    shapes = ((1, native, native + 2), (1, 2, 4))
    return largest_difference(tower, open_outputs(path, WEB_OUTPUTS), shapes, weights)


def describe(explainer: Explainer, features: TextFeatures) -> dict[str, Any]:
    """Return what the page must know of a model; the fields are those of web/src/protocol.ts."""
    backbone, method, framing = explainer.backbone, explainer.method, explainer.framing
    method = require_dense(method)
    grid = backbone.tower.grid(torch.zeros(1, 3, *(2 * [MIN_PATCHES * backbone.tower.patch_size])))
    rule = explainer.find_presence_rule() or PresenceRule()
    return {
        "format": FORMAT,
        "clip_surgery": version("clip-surgery"),
        "model": backbone.name,
        "method": repr(method),
        "method_name": method.name,
        "bank": BANK,
        "texts": features.texts,
        "templates": explainer.templates,
        "framing": framing.mode,
        "size": framing.size or backbone.image_size,
        "patch_size": backbone.tower.patch_size,
        "least_patches": MIN_PATCHES,
        "max_patches": framing.max_patches,
        "max_aspect_ratio": framing.max_aspect_ratio,
        "margin": [round(255 * mean) for mean in backbone.image_mean],
        "logit_scale": backbone.logit_scale,
        "redundancy": method.redundancy,
        "weighting": method.weighting,
        "temperature": method.temperature,
        "presence": None
        if features.reference is None
        else {
            "image": rule.image,
            "patches": rule.patches,
            "offset": rule.offset,
            "best_share": BEST_SHARE,
        },
        "attention": {
            "scale": backbone.tower.at(grid).blocks[-1].attention.scale,
            "prefix_tokens": backbone.tower.prefix_tokens,
        },
        "text_tower": None,
        "nouns": backbone.nouns,
        "palette": colour_table(COLOUR_MAP).tobytes().hex(),
    }


def split_file(path: Path) -> dict[str, Any]:
    """Split a file into parts of limited size, and return their names and the whole size.

    A file that is small enough keeps its name.
    """
    size = path.stat().st_size
    if size <= PART_BYTES:
        return {"parts": [path.name], "bytes": size}
    parts: list[str] = []
    with path.open("rb") as content:
        while part := content.read(PART_BYTES):
            parts.append(f"{path.name}.{len(parts)}")
            (path.parent / parts[-1]).write_bytes(part)
    path.unlink()
    return {"parts": parts, "bytes": size}


def _write_examples(folder: Path, examples: Sequence[str | Path]) -> list[str]:
    """Write the example images, and return their names."""
    names = []
    for number, source in enumerate(examples):
        image = read_image(source).image
        image.thumbnail((MAX_EXAMPLE_SIDE, MAX_EXAMPLE_SIDE), Image.Resampling.LANCZOS)
        names.append(f"example-{number}.png")
        image.save(folder / names[-1])
    return names


def _write_page(folder: Path) -> None:
    """Copy the built page, which is part of this package."""
    with as_file(files("clip_surgery.export.web") / "page") as page:
        for path in page.iterdir():
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


def _move(new: Path, target: Path) -> tuple[str, ...]:
    """Move all files to their places, the description last; return their names."""
    names = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
    (target / "runtime").mkdir(exist_ok=True)
    for name in sorted(names, key=lambda name: name == DESCRIPTION):
        os.replace(new / name, target / name)
    return tuple(names)
