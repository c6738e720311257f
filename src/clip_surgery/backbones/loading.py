"""Load a CLIP model by name, or read one in memory; only the library that is needed is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.config_files import is_file, is_folder
from clip_surgery.backbones.demo.model import DemoClip
from clip_surgery.backbones.demo.reading import read_demo
from clip_surgery.backbones.devices import resolve_device, resolve_dtype
from clip_surgery.backbones.finite_weights import check_finite_weights
from clip_surgery.backbones.hub import not_usable, one_line
from clip_surgery.backbones.positions import PositionMode, check_position_mode
from clip_surgery.errors import (
    InputError,
    MissingExtraError,
    UnknownNameError,
    UnsupportedModelError,
    WeightsError,
)

Scheme = Literal["demo", "open_clip", "hf-hub", "hugging_face", "folder"]
_FORMS = (
    "demo, open_clip:ARCH/TAG, open_clip:ARCH with a checkpoint file, hf-hub:NAME, "
    "hugging_face:NAME, or a folder"
)


class Source(NamedTuple):
    """A model's name in its two parts: the scheme, and the rest of the name."""

    scheme: Scheme
    rest: str


class BackboneRow(NamedTuple):
    """One line of the list of models: its name, where it comes from, and a note."""

    name: str
    source: str
    note: str


def load_backbone(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    positions: PositionMode = "bilinear",
) -> Backbone:
    """Load a CLIP model by name, in eval mode.

    Args:
        name: "demo"; "open_clip:ARCH/TAG"; "open_clip:ARCH" with a checkpoint; "hf-hub:NAME" (a
            repository in open_clip's format); "hugging_face:NAME" (in that of transformers);
            or a local folder in either format ("local-dir:FOLDER" works as well).
        checkpoint: a local file of weights for "open_clip:ARCH".
        device: "auto" (CUDA, else MPS, else CPU) or a device of torch such as "cuda:1".
        dtype: "float32", "bfloat16" or "float16", of the weights and of the computation.
        positions: how position embeddings are brought to other grids, "bilinear" or "bicubic".

    Raises:
        UnknownNameError: for a name of no known form, listing the near ones.
        InputError: for a device that is not there, an unknown dtype, or settings that do not
            go together.
        WeightsError: when weights cannot be fetched, found or read.
        UnsupportedModelError: when a part of the model cannot be read.
        MissingExtraError: when the library of that name is not installed.

    Example:
        >>> load_backbone("demo").tower.patch_size                          # doctest: +SKIP
        8
    """
    check_position_mode(positions)
    source = parse_name(name)
    if checkpoint is not None and source.scheme != "open_clip":
        raise InputError(f"Expected open_clip:ARCH with a checkpoint file, but got {name!r}.")
    if checkpoint is not None and not is_file(checkpoint):
        raise WeightsError(
            f"Expected a checkpoint file, but there is none at {_shown(str(checkpoint))}."
        )
    backbone = _load(
        source,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        device=resolve_device(device),
        dtype=resolve_dtype(dtype),
        positions=positions,
    )
    check_finite_weights(backbone.model, source=backbone.name)
    return backbone


def wrap_backbone(
    model: nn.Module,
    *,
    tokenizer: Any = None,
    image_size: int | None = None,
    positions: PositionMode = "bilinear",
    name: str | None = None,
) -> Backbone:
    """Return a Backbone over a model that is already in memory; the model is only read.

    Its mode, device and type stay; what acts in training only (dropout) is not applied.

    Args:
        model: open_clip's `CLIP`, `CustomTextCLIP` or `CoCa`; or transformers' `CLIPModel`,
            `MetaClip2Model`, `AltCLIPModel`, `ChineseCLIPModel`, `SiglipModel`, `Siglip2Model`.
        tokenizer: the model's own; None for models with CLIP's 49,408 word pieces.
        image_size: side in pixels to frame images for; None means the model's native one.
        positions: as for `load_backbone`.
        name: what reports call it.

    Raises:
        UnsupportedModelError: for another class, or naming the part that cannot be read.
        InputError: when a tokenizer is needed or of no known kind.
    """
    libraries = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    label = name or f"wrapped:{type(model).__name__}"
    if image_size is not None and image_size < 1:
        raise InputError(f"Expected image_size of at least 1 px, but got {image_size}.")
    if "open_clip" in libraries:
        from clip_surgery.backbones.open_clip.model import read_open_clip

        return read_open_clip(
            model, name=label, tokenizer=tokenizer, image_size=image_size, positions=positions
        )
    if "transformers" in libraries:
        from clip_surgery.backbones.hugging_face.model import read_hugging_face

        return read_hugging_face(
            model, name=label, tokenizer=tokenizer, image_size=image_size, positions=positions
        )
    if isinstance(model, DemoClip):
        return read_demo(
            model, name=label, tokenizer=tokenizer, image_size=image_size, positions=positions
        )
    raise UnsupportedModelError(
        "Expected a CLIP model of open_clip or transformers, "
        f"but got {type(model).__module__}.{type(model).__qualname__}."
    )


def parse_name(name: str) -> Source:
    """Read a model's name.

    Raises:
        InputError: if the name is not a string.
        UnknownNameError: if it has none of the known forms.

    Example:
        >>> parse_name("open_clip:ViT-B-16/openai")
        Source(scheme='open_clip', rest='ViT-B-16/openai')
    """
    if not isinstance(name, str):
        raise InputError(f"Expected a model's name as a string, but got {type(name).__name__}.")
    if name == "demo":
        return Source("demo", "")
    scheme, colon, rest = name.partition(":")
    if colon and rest:
        if scheme == "local-dir":
            return Source("folder", rest)
        if scheme == "open_clip" and is_folder(rest):
            return Source("folder", rest)
        if scheme in {"open_clip", "hf-hub", "hugging_face"}:
            return Source(scheme, rest)  # type: ignore[arg-type]  # one of the three
    if name and is_folder(name):
        return Source("folder", name)
    if is_file(name):
        raise UnknownNameError(
            f"Unknown model {name!r}: it is a file. Give its architecture as "
            f"open_clip:ARCH and the file as the checkpoint."
        )
    near = get_close_matches(scheme, get_args(Scheme)[:-1], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownNameError(f"Unknown model '{_shown(name)}'.{hint} Expected {_FORMS}.")


def list_backbones() -> Iterator[BackboneRow]:
    """List what can be loaded by name: the demo, open_clip's weights, and the other forms."""
    yield BackboneRow("demo", "embedded", "offline; knows the nouns of its scenes only")
    from clip_surgery.backbones.open_clip.catalogue import list_architectures

    for architecture, tag in list_architectures():
        yield BackboneRow(f"open_clip:{architecture}/{tag}", "open_clip", "downloaded on first use")
    yield BackboneRow("open_clip:ARCH", "a file", "with --checkpoint FILE")
    yield BackboneRow("hf-hub:NAME", "Hugging Face hub", "repositories in open_clip's format")
    yield BackboneRow("hugging_face:NAME", "Hugging Face hub", "CLIP models of transformers")
    yield BackboneRow("FOLDER", "a local folder", "in open_clip's or transformers' format")


def _shown(path: str) -> str:
    """A name or path from the caller as messages show it: shortened, on one line."""
    return one_line(path)


def _load(
    source: Source,
    *,
    checkpoint: Path | None,
    device: torch.device,
    dtype: torch.dtype,
    positions: PositionMode,
) -> Backbone:
    """Import the library that the source needs, and no other, and load with it."""
    if source.scheme == "folder":
        return _load_folder(Path(source.rest), device=device, dtype=dtype, positions=positions)
    if source.scheme == "demo":
        from clip_surgery.backbones.demo.loading import load_demo

        return load_demo(device=device, dtype=dtype, positions=positions)
    if source.scheme == "hugging_face":
        return _load_hugging_face(source.rest, device=device, dtype=dtype, positions=positions)
    from clip_surgery.backbones.open_clip import loading as open_clip_loading

    if source.scheme == "hf-hub":
        return open_clip_loading.load_hub(
            source.rest, device=device, dtype=dtype, positions=positions
        )
    return open_clip_loading.load_architecture(
        source.rest, checkpoint=checkpoint, device=device, dtype=dtype, positions=positions
    )


def _load_folder(
    folder: Path, *, device: torch.device, dtype: torch.dtype, positions: PositionMode
) -> Backbone:
    """Load a folder by what lies in it: open_clip's, the demo's or transformers' configuration."""
    if not is_folder(folder):
        raise WeightsError(
            f"Expected a folder with a model, but there is none at {_shown(str(folder))}."
        )
    if (folder / "open_clip_config.json").is_file():
        from clip_surgery.backbones.open_clip import loading as open_clip_loading

        return open_clip_loading.load_folder(
            folder, device=device, dtype=dtype, positions=positions
        )
    if not (folder / "config.json").is_file():
        raise not_usable(folder, "neither open_clip_config.json nor config.json is in it")
    from clip_surgery.backbones.demo.loading import is_demo_folder, load_demo

    if is_demo_folder(folder):
        return load_demo(folder, device=device, dtype=dtype, positions=positions, name=str(folder))
    return _load_hugging_face(str(folder), device=device, dtype=dtype, positions=positions)


def _load_hugging_face(
    source: str, *, device: torch.device, dtype: torch.dtype, positions: PositionMode
) -> Backbone:
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError.of("transformers", "transformers")
    from clip_surgery.backbones.hugging_face.loading import load_hugging_face

    return load_hugging_face(source, device=device, dtype=dtype, positions=positions)
