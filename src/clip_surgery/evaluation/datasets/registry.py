"""The registry of data sets: a name to a class and its fixed settings, imported when opened."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.dataset import Dataset

_HERE = "clip_surgery.evaluation.datasets"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a data set is opened.

    Attributes:
        loader: "module:Class" or a function, the module below `evaluation/datasets`.
        fixed: settings that make the name what it is; a caller cannot set them.
        needs_root: whether it reads a folder.
        about: one line on what it is.
    """

    loader: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    needs_root: bool = True
    about: str

    @property
    def build(self) -> Callable[..., Dataset]:
        """The class or function, imported now."""
        module, _, name = self.loader.partition(":")
        loader: Callable[..., Dataset] = getattr(import_module(f"{_HERE}.{module}"), name)
        return loader

    def setting_names(self) -> tuple[str, ...]:
        """The settings a caller may give.

        Example:
            >>> DATASETS["voc20"].setting_names()
            ('split',)
        """
        parameters = inspect.signature(self.build).parameters
        return tuple(name for name in parameters if name != "root" and name not in self.fixed)


DATASETS: dict[str, Entry] = {
    "scenes": Entry(
        loader="scenes:SceneDataset", needs_root=False, about="generated scenes, nothing to fetch"
    ),
    "voc20": Entry(
        loader="pascal.voc:VocSegmentation",
        fixed={"classes": 20},
        about="Pascal VOC 2012 masks, 20 classes",
    ),
    "voc21": Entry(
        loader="pascal.voc:VocSegmentation",
        fixed={"classes": 21},
        about="Pascal VOC 2012 masks, 20 classes and background",
    ),
    "voc07": Entry(
        loader="pascal.voc_tags:VocTags", about="Pascal VOC 2007, which of 20 classes are there"
    ),
    "context59": Entry(
        loader="pascal.context:PascalContext",
        fixed={"classes": 59},
        about="Pascal Context masks, 59 classes",
    ),
    "context60": Entry(
        loader="pascal.context:PascalContext",
        fixed={"classes": 60},
        about="Pascal Context masks, 59 classes and background",
    ),
    "imagenet_s50": Entry(loader="imagenet_s:ImageNetS", about="ImageNet-S masks, 50 classes"),
    "coco": Entry(loader="coco.objects:CocoObjects", about="COCO 2017 masks of 80 objects"),
    "coco_stuff": Entry(loader="coco.stuff:CocoStuff", about="COCO-Stuff masks, 171 classes"),
    "coco_tags": Entry(loader="coco.tags:CocoTags", about="COCO, which of 80 objects are there"),
    "nus_wide": Entry(loader="nus_wide:NusWide", about="NUS-WIDE, which of 81 concepts are there"),
    "cityscapes": Entry(loader="cityscapes:Cityscapes", about="Cityscapes masks, 19 classes"),
    "ade20k": Entry(loader="ade20k:Ade20k", about="ADE20K masks, 150 classes"),
    "folder": Entry(loader="own.folder:open_folder", about="your own images with masks"),
}


def open_dataset(name: str, root: str | Path | None = None, **settings: Any) -> Dataset:
    """Open the data set of this name in its folder `root`.

    Raises:
        UnknownNameError: for an unknown name, or a setting that this data set does not have.
        InputError: when the folder is missing, not wanted or incomplete, or a setting is wrong.

    Example:
        >>> open_dataset("scenes", seed=1, count=3)
        SceneDataset(seed=1, count=3, size=96, names=<64>)
    """
    if name not in DATASETS:
        raise UnknownNameError.among("data set", name, DATASETS)
    entry = DATASETS[name]
    known = entry.setting_names()
    for setting in settings:
        if setting not in known:
            raise UnknownNameError.among(f"setting of data set {name}", setting, known)
    if entry.needs_root != (root is not None):
        wanted = "the folder it is in" if entry.needs_root else "no folder"
        raise InputError(f"Expected {wanted} for data set {name}, but got {root!r}.")
    place = {} if root is None else {"root": root}
    try:
        return entry.build(**place, **entry.fixed, **settings)
    except TypeError as error:
        if "required keyword-only" not in str(error):
            raise
        raise InputError(f"Data set {name}: {str(error).partition(') ')[2] or error}.") from error
