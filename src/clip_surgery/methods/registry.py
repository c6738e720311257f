"""Lookup of methods by name, and by name with settings as in "clip_surgery(depth=8)"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import entry_points
from typing import Any

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.bi_modal import BiModal
from clip_surgery.methods.cass import Cass
from clip_surgery.methods.clearclip import ClearClip
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.cliptrase import ClipTrase
from clip_surgery.methods.corr_clip import CorrClip
from clip_surgery.methods.free_cp import FreeCp
from clip_surgery.methods.gem import Gem
from clip_surgery.methods.grad_cam import GradCam
from clip_surgery.methods.grad_eclip import GradEclip
from clip_surgery.methods.gscorecam import GScoreCam
from clip_surgery.methods.ita_clip import ItaClip
from clip_surgery.methods.legrad import LeGrad
from clip_surgery.methods.lposs import Lposs
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.method import Method
from clip_surgery.methods.naclip import NaClip
from clip_surgery.methods.pearl import Pearl
from clip_surgery.methods.proxy_clip import ProxyClip
from clip_surgery.methods.registered import REGISTERED, register_method
from clip_surgery.methods.res_clip import ResClip
from clip_surgery.methods.rf_clip import RfClip
from clip_surgery.methods.rollout import Rollout
from clip_surgery.methods.sc_clip import ScClip
from clip_surgery.methods.sclip import Sclip
from clip_surgery.methods.sfp import Sfp
from clip_surgery.methods.similarity import Reversed, Similarity
from clip_surgery.methods.tag_clip import TagClip
from clip_surgery.methods.trident import Trident
from clip_surgery.plugins import import_plugin

for _class in (
    Similarity,
    Reversed,
    MaskClip,
    ClipSurgery,
    Gem,
    Sclip,
    ClearClip,
    NaClip,
    ClipTrase,
    ScClip,
    Sfp,
    ResClip,
    Pearl,
    ItaClip,
    ProxyClip,
    Cass,
    CorrClip,
    Trident,
    Lposs,
    FreeCp,
    TagClip,
    RfClip,
    Rollout,
    GradCam,
    GScoreCam,
    BiModal,
    LeGrad,
    GradEclip,
):
    register_method(_class)

ENTRY_POINTS = "clip_surgery.methods"
"""Group of entry points by which other packages offer methods."""
METHODS: Mapping[str, type[Method]] = REGISTERED
"""All methods by name."""


def method_named(name: str, **settings: Any) -> Method:
    """Return the method of this name with these settings; other settings have their defaults.

    Args:
        name: a registered name, an entry point, or "package.module:Class".
        settings: settings of the method.

    Raises:
        UnknownNameError: if the method, or a setting of it, is unknown.

    Example:
        >>> method_named("clip_surgery", depth=4).depth
        4
    """
    cls = method_class(name)
    known = setting_names(cls)
    for setting in settings:
        if setting not in known:
            raise UnknownNameError.among(f"setting of {name}", setting, known)
    return cls(**settings)


def method_class(name: str) -> type[Method]:
    """Return the method class of a registered name, an entry point, or "package.module:Class".

    Raises:
        UnknownNameError: if no method has this name.
        InputError: if a module or class cannot be imported or is not a method.
    """
    if ":" in name:
        return _imported_class(name)
    if name not in METHODS:
        for entry_point in entry_points(group=ENTRY_POINTS, name=name):
            register_method(_imported_class(entry_point.value))
    if name not in METHODS:
        raise UnknownNameError.among("method", name, METHODS)
    return METHODS[name]


def _imported_class(path: str) -> type[Method]:
    cls = import_plugin(path, kind="method")
    if not (isinstance(cls, type) and isinstance(getattr(cls, "name", None), str)):
        raise InputError(f"{path}: expected a method class with a name, but got {cls!r}.")
    method: type[Method] = cls
    return method


def setting_names(method: type[Method]) -> tuple[str, ...]:
    """Return the names of the settings of a method."""
    return tuple(field.name for field in fields(method)) if is_dataclass(method) else ()


def parse_methods(text: str) -> dict[str, Method]:
    """Return the methods that a text lists, each under the part of the text that names it.

    Names are separated by commas and settings are in brackets, as in
    "similarity,clip_surgery(depth=8)". A class of another package is named
    "package.module:Class". "all" is every registered method with its defaults.

    Raises:
        UnknownNameError: if a method or setting is unknown.
        InputError: if the text has another form, or a value is not of the type of the setting.

    Example:
        >>> list(parse_methods("gem, clip_surgery(depth=8)"))
        ['gem', 'clip_surgery(depth=8)']
    """
    if text.strip() == "all":
        return {name: method_named(name) for name in METHODS}
    entries = [entry.strip() for entry in re.split(r",(?![^(]*\))", text)]
    return {entry: _parse_method(entry) for entry in entries}


def _parse_method(entry: str) -> Method:
    match = re.fullmatch(r"(\w+|[\w.]+:\w+)(?:\((.*)\))?", entry)
    if match is None:
        raise InputError(f"Expected a method such as clip_surgery(depth=8), but got {entry!r}.")
    name, settings_text = match.groups()
    cls = method_class(name)
    settings = {}
    for pair in filter(None, (part.strip() for part in (settings_text or "").split(","))):
        setting, equals, value = (part.strip() for part in pair.partition("="))
        known = setting_names(cls)
        if setting not in known:
            raise UnknownNameError.among(f"setting of {name}", setting, known)
        if not equals:
            raise InputError(f"Expected {setting}=VALUE in {entry!r}.")
        settings[setting] = _parse_value(getattr(cls(), setting), setting, value)
    return method_named(name, **settings)


def _parse_value(default: object, setting: str, value: str) -> object:
    """Return the value of a setting, converted from text to the type of its default."""
    if isinstance(default, bool):
        if value.lower() in ("true", "yes", "on", "false", "no", "off"):
            return value.lower() in ("true", "yes", "on")
    elif isinstance(default, int | float):
        try:
            return type(default)(value)
        except ValueError:
            pass
    else:
        return value
    raise InputError(f"Expected {setting} to be a {type(default).__name__}, but got {value!r}.")


def as_method(method: str | Method) -> Method:
    """Return the method that a name, a name with settings as in "gem(depth=8)", or a method means.

    Raises:
        UnknownNameError: if the name or a setting is unknown.
        InputError: if the argument is neither a name nor a method.

    Example:
        >>> as_method("clip_surgery(depth=4)").depth
        4
    """
    if isinstance(method, str):
        return _parse_method(method.strip()) if "(" in method else method_named(method)
    if isinstance(method, type) or not isinstance(method, Method):
        raise InputError(f"Expected a method or its name, but got {method!r}.")
    return method
