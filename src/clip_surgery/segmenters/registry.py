"""The registry of segmenters, and `load_segmenter`, which loads one of them by name.

SAM and SAM 2 need no registration: they are named by their hub name or folder. Other packages add
segmenters with `register_segmenter`, with an entry point of the group `clip_surgery.segmenters`, or
without any registration by the name "package.module:Class".
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType

from clip_surgery.backbones.config_files import is_folder
from clip_surgery.backbones.devices import resolve_device
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.plugins import PLUGIN_PATH, check_registration, import_plugin
from clip_surgery.segmenters.sam import SamSegmenter
from clip_surgery.segmenters.segmenter import Segmenter

SegmenterLoader = Callable[..., Segmenter]
"""A class or function that returns a segmenter, optionally with a parameter `device`."""

ENTRY_POINTS = "clip_surgery.segmenters"
"""Group of entry points by which other packages offer segmenters."""
_loaders: dict[str, str | SegmenterLoader] = {}
SEGMENTERS: Mapping[str, str | SegmenterLoader] = MappingProxyType(_loaders)
"""The loaders of all registered segmenters by name."""


def register_segmenter(name: str, loader: str | SegmenterLoader) -> None:
    """Register a segmenter, so that `load_segmenter` and the command line know its name.

    The registration is valid for this process. The command line finds segmenters of other packages
    by an entry point of the group `clip_surgery.segmenters`, or by "package.module:Class".

    Args:
        name: name of the segmenter: letters, digits, `_` and `-`.
        loader: class or function that returns a `Segmenter`, or its name "package.module:Class". It
            is called without arguments, or with `device` if it has a parameter of this name.

    Raises:
        InputError: if the name or the loader is not valid, or if the name is registered already for
            another loader. A class that is defined again, for example when a notebook cell is run
            twice, replaces its former definition.

    Example:
        After `register_segmenter("same_colour", SameColour)`, `load_segmenter("same_colour")`
        returns `SameColour()`.
    """
    check_registration("segmenter", name, loader, _loaders)
    _loaders[name] = loader


def load_segmenter(name: str | Path, *, device: str = "auto") -> Segmenter:
    """Load a segmenter by its name.

    Args:
        name: a registered name, the name of an entry point of the group `clip_surgery.segmenters`,
            "package.module:Class", or a SAM or SAM 2 model: its hub name or local folder. A
            registered name is preferred to a folder of the same name; write "./name" for the
            folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        UnknownNameError: if no segmenter has this name.
        InputError: if the device does not exist, or if a module or class cannot be imported, cannot
            be called, or does not return a segmenter.
        WeightsError: if the weights of a SAM model cannot be found, fetched or read.
        UnsupportedModelError: if a folder or hub name is not a SAM or SAM 2 model.
        MissingExtraError: if a SAM model is named and transformers is not installed.
    """
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"Expected the name or folder of a segmenter, but got {name!r}.")
    loader = _loader_of(name) if isinstance(name, str) else None
    if loader is None:
        return SamSegmenter.load(name, device=device)
    return _call_loader(loader, str(name), device)


def _loader_of(name: str) -> str | SegmenterLoader | None:
    """The loader of a registered name, an entry point or a plugin path; None for a SAM model."""
    if name in _loaders:
        return _loaders[name]
    for entry_point in entry_points(group=ENTRY_POINTS, name=name):
        register_segmenter(name, entry_point.value)
        return _loaders[name]
    if is_folder(name):
        return None
    if PLUGIN_PATH.fullmatch(name):
        return name
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):  # hub names of SAM models contain a "/"
        offered = [entry_point.name for entry_point in entry_points(group=ENTRY_POINTS)]
        known = sorted({*_loaders, *offered})
        raise UnknownNameError(
            f"Unknown segmenter {name!r}. Registered: {', '.join(known) or 'none'}. Or give "
            '"package.module:Class", a hub name such as facebook/sam-vit-base, or a local folder.'
        )
    return None


def _call_loader(loader: str | SegmenterLoader, name: str, device: str) -> Segmenter:
    """The segmenter that a loader returns; `name` is for messages."""
    if isinstance(loader, str):
        loader = import_plugin(loader, kind="segmenter")
    if not callable(loader):
        raise InputError(f"{name}: expected a class or a function, but got {loader!r}.")
    parameters = inspect.signature(loader).parameters
    arguments = {"device": str(resolve_device(device))} if "device" in parameters else {}
    try:
        inspect.signature(loader).bind(**arguments)
    except TypeError as error:
        raise InputError(
            f"{name}: expected a class or function that returns a segmenter and needs no argument "
            f"except device, but {error}."
        ) from error
    segmenter: Segmenter = loader(**arguments)
    if not callable(segmenter):
        raise InputError(
            f"{name}: expected a segmenter that can be called with an image and prompts, but got "
            f"{type(segmenter).__name__}."
        )
    return segmenter
