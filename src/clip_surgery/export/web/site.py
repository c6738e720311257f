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
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from PIL import Image

from clip_surgery.errors import ClipSurgeryError, InputError
from clip_surgery.explainer import Explainer
from clip_surgery.export.onnx_file import require_onnx
from clip_surgery.export.quantised import Weights, check_weights
from clip_surgery.export.text_file import save_texts
from clip_surgery.export.traced_tower import require_dense
from clip_surgery.export.web.description import describe
from clip_surgery.export.web.runtime import copy_runtime
from clip_surgery.export.web.tower import write_tower
from clip_surgery.export.web.words import TEXT_TOWER, write_text_tower
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.inputs.texts import check_texts
from clip_surgery.methods.dense import DenseMethod

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
                "bank": BANK,
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
