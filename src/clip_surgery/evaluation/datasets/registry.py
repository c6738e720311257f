"""The registry of data sets, and `open_dataset`, which opens one of them by name.

The module of a data set is imported when the data set is opened. Other packages add data sets with
`register_dataset`, with an entry point of the group `clip_surgery.datasets`, or without any
registration by the name "package.module:Class".
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.plugins import check_registration, import_plugin

ENTRY_POINTS = "clip_surgery.datasets"
"""Group of entry points by which other packages offer data sets."""
_PACKAGE = "clip_surgery.evaluation.datasets"


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """How a data set is opened.

    Attributes:
        loader: class or function that returns the data set, or its name "package.module:Class".
        fixed: settings that define the data set of this name and that a caller cannot change.
        about: one line about the data set.
    """

    loader: str | Callable[..., Dataset]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""

    @property
    def build(self) -> Callable[..., Dataset]:
        """The class or function that returns the data set, imported now.

        Raises:
            InputError: if it cannot be imported or called.
        """
        return _imported(self.loader) if isinstance(self.loader, str) else self.loader

    @property
    def needs_root(self) -> bool:
        """Whether the data set is read from a folder."""
        return "root" in inspect.signature(self.build).parameters

    def setting_names(self) -> tuple[str, ...]:
        """Return the names of the settings that a caller may give.

        Example:
            >>> DATASETS["voc20"].setting_names()
            ('split',)
        """
        parameters = inspect.signature(self.build).parameters
        return tuple(
            name
            for name, parameter in parameters.items()
            if name != "root" and name not in self.fixed and parameter.kind not in _VARIADIC
        )

    def check_arguments(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Check the folder and the settings of a data set before it is opened.

        Args:
            name: name of the data set in error messages.
            arguments: the settings, and `root` if a folder was given.

        Raises:
            UnknownNameError: if a setting is unknown.
            InputError: if the folder or a setting is missing, or a folder was given without need.
        """
        parameters = inspect.signature(self.build).parameters
        known = self.setting_names()
        for setting in arguments:
            if setting != "root" and setting not in known and not _takes_any(parameters):
                raise UnknownNameError.among(f"setting of data set {name}", setting, known)
        root = parameters.get("root")
        if root is None and "root" in arguments:
            raise InputError(
                f"Expected no folder for data set {name}, but got {str(arguments['root'])!r}."
            )
        missing = [
            parameter.name
            for parameter in parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in _VARIADIC
            and parameter.name not in (*arguments, *self.fixed)
        ]
        if "root" in missing:
            raise InputError(f"Expected the folder it is in for data set {name}, but got None.")
        if missing:
            settings = ", ".join(map(repr, missing))
            raise InputError(f"Data set {name}: expected the settings {settings}.")


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _own(loader: str, about: str, **fixed: Any) -> DatasetEntry:
    """The entry of a data set of this package; the module is below `evaluation/datasets`."""
    return DatasetEntry(loader=f"{_PACKAGE}.{loader}", fixed=fixed, about=about)


_entries: dict[str, DatasetEntry] = {
    "scenes": _own("scenes:SceneDataset", "generated scenes, nothing to fetch"),
    "voc20": _own("pascal.voc:VocSegmentation", "Pascal VOC 2012 masks, 20 classes", classes=20),
    "voc21": _own(
        "pascal.voc:VocSegmentation",
        "Pascal VOC 2012 masks, 20 classes and background",
        classes=21,
    ),
    "voc07": _own("pascal.voc_tags:VocTags", "Pascal VOC 2007, labels of 20 classes, no masks"),
    "context59": _own(
        "pascal.context:PascalContext", "Pascal Context masks, 59 classes", classes=59
    ),
    "context60": _own(
        "pascal.context:PascalContext",
        "Pascal Context masks, 59 classes and background",
        classes=60,
    ),
    "imagenet_s50": _own("imagenet_s:ImageNetS", "ImageNet-S masks, 50 classes"),
    "coco": _own("coco.objects:CocoObjects", "COCO 2017 masks of 80 objects"),
    "coco_stuff": _own("coco.stuff:CocoStuff", "COCO-Stuff masks, 171 classes"),
    "coco_tags": _own("coco.tags:CocoTags", "COCO, labels of 80 objects, no masks"),
    "nus_wide": _own("nus_wide:NusWide", "NUS-WIDE, labels of 81 concepts, no masks"),
    "cityscapes": _own("cityscapes:Cityscapes", "Cityscapes masks, 19 classes"),
    "ade20k": _own("ade20k:Ade20k", "ADE20K masks, 150 classes"),
    "folder": _own("own.folder:open_folder", "your own images with masks"),
}
DATASETS: Mapping[str, DatasetEntry] = MappingProxyType(_entries)
"""All registered data sets by name."""


def register_dataset(name: str, loader: str | Callable[..., Dataset], *, about: str = "") -> None:
    """Register a data set, so that `open_dataset` and the command line know its name.

    The registration is valid for this process. The command line finds data sets of other packages
    by an entry point of the group `clip_surgery.datasets`, or by "package.module:Class".

    Args:
        name: name of the data set: letters, digits, `_` and `-`.
        loader: class or function that returns a `Dataset`, or its name "package.module:Class". If
            it has a parameter `root`, the data set is read from a folder. Its other parameters are
            the settings of the data set.
        about: one line about the data set.

    Raises:
        InputError: if the name is not valid or is registered already for another loader.

    Example:
        After `register_dataset("birds", BirdDataset, about="photos of birds")`,
        `open_dataset("birds", "path/to/birds")` returns `BirdDataset(root=Path("path/to/birds"))`.
    """
    known = {registered: entry.loader for registered, entry in _entries.items()}
    check_registration("data set", name, loader, known)
    _entries[name] = DatasetEntry(loader=loader, about=about)


def open_dataset(name: str, root: str | os.PathLike[str] | None = None, **settings: Any) -> Dataset:
    """Open a data set by its name.

    Args:
        name: a registered name, the name of an entry point of the group `clip_surgery.datasets`,
            or "package.module:Class".
        root: the folder of the data set, for data sets that are read from a folder.
        settings: settings of the data set, for example `split="val"`.

    Raises:
        UnknownNameError: if the name is unknown, or the data set does not have a setting.
        InputError: if the folder is missing, incomplete or not needed, if a setting is wrong, or if
            what was opened is not a data set.

    Example:
        >>> open_dataset("scenes", seed=1, count=3)
        SceneDataset(seed=1, count=3, size=96, names=<64>)
    """
    if root is not None and not isinstance(root, str | os.PathLike):
        raise InputError(f"Expected the folder of data set {name} as a path, but got {root!r}.")
    entry = dataset_entry(name)
    arguments = {**({} if root is None else {"root": Path(root)}), **settings}
    entry.check_arguments(name, arguments)
    dataset = entry.build(**arguments, **entry.fixed)
    if not isinstance(dataset, Dataset):
        raise InputError(
            f"Data set {name}: expected an object with name, names, len() and [index], but got "
            f"{type(dataset).__name__}."
        )
    return dataset


def dataset_entry(name: str) -> DatasetEntry:
    """Return the entry of a registered name, an entry point, or "package.module:Class".

    Raises:
        UnknownNameError: if no data set has this name.
        InputError: if a module or class cannot be imported.
    """
    if ":" in name:
        return DatasetEntry(loader=name)
    if name not in _entries:
        for entry_point in entry_points(group=ENTRY_POINTS, name=name):
            register_dataset(name, entry_point.value)
    if name not in _entries:
        offered = [entry_point.name for entry_point in entry_points(group=ENTRY_POINTS)]
        raise UnknownNameError.among("data set", name, (*_entries, *offered))
    return _entries[name]


def _imported(path: str) -> Callable[..., Dataset]:
    loader: Callable[..., Dataset] = import_plugin(path, kind="data set")
    if not callable(loader):
        raise InputError(f"{path}: expected a class or a function, but got {loader!r}.")
    return loader


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
