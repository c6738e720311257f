"""The registry of methods: a name to a class, and a name with settings to a method."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.bi_modal import BiModal
from clip_surgery.methods.clearclip import ClearClip
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.cliptrase import ClipTrase
from clip_surgery.methods.gem import Gem
from clip_surgery.methods.grad_cam import GradCam
from clip_surgery.methods.grad_eclip import GradEclip
from clip_surgery.methods.gscorecam import GScoreCam
from clip_surgery.methods.legrad import LeGrad
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.method import Method
from clip_surgery.methods.naclip import NaClip
from clip_surgery.methods.rollout import Rollout
from clip_surgery.methods.sclip import Sclip
from clip_surgery.methods.similarity import Reversed, Similarity

# A name used twice would silently hide a method: `_by_name` refuses it.
_CLASSES: tuple[type[Method], ...] = (
    Similarity,
    Reversed,
    MaskClip,
    ClipSurgery,
    Gem,
    Sclip,
    ClearClip,
    NaClip,
    ClipTrase,
    Rollout,
    GradCam,
    GScoreCam,
    BiModal,
    LeGrad,
    GradEclip,
)


def _by_name(classes: tuple[type[Method], ...]) -> dict[str, type[Method]]:
    names = [cls.name for cls in classes]
    if len(set(names)) != len(names):
        raise InputError(f"Expected method names to be unique, but got {', '.join(names)}.")
    return {cls.name: cls for cls in classes}


METHODS: Mapping[str, type[Method]] = _by_name(_CLASSES)


def method_named(name: str, **settings: Any) -> Method:
    """Build the method of this name with these settings, the rest at their defaults.

    Raises:
        UnknownNameError: for an unknown method, or a setting it does not have.

    Example:
        >>> method_named("clip_surgery", depth=4).depth
        4
    """
    if name not in METHODS:
        raise UnknownNameError.among("method", name, METHODS)
    cls = METHODS[name]
    known = setting_names(cls)
    for setting in settings:
        if setting not in known:
            raise UnknownNameError.among(f"setting of {name}", setting, known)
    return cls(**settings)


def setting_names(method: type[Method]) -> tuple[str, ...]:
    """Names of a method's settings."""
    return tuple(field.name for field in fields(method)) if is_dataclass(method) else ()


def parse_methods(text: str) -> dict[str, Method]:
    """Read methods as the command line writes them, each under its own text.

    Names stand between commas, settings in brackets: "similarity,clip_surgery(depth=8)"; "all"
    is every registered method with its defaults.

    Raises:
        UnknownNameError: for an unknown method or setting.
        InputError: when the text cannot be read so, or a value is not of the setting's type.

    Example:
        >>> list(parse_methods("gem, clip_surgery(depth=8)"))
        ['gem', 'clip_surgery(depth=8)']
    """
    if text.strip() == "all":
        return {name: method_named(name) for name in METHODS}
    entries = [entry.strip() for entry in re.split(r",(?![^(]*\))", text)]
    return {entry: _parse_method(entry) for entry in entries}


def _parse_method(entry: str) -> Method:
    match = re.fullmatch(r"(\w+)(?:\((.*)\))?", entry)
    if match is None:
        raise InputError(f"Expected a method such as clip_surgery(depth=8), but got {entry!r}.")
    name, written = match.groups()
    if name not in METHODS:
        raise UnknownNameError.among("method", name, METHODS)
    settings = {}
    for pair in filter(None, (part.strip() for part in (written or "").split(","))):
        setting, equals, value = (part.strip() for part in pair.partition("="))
        known = setting_names(METHODS[name])
        if setting not in known:
            raise UnknownNameError.among(f"setting of {name}", setting, known)
        if not equals:
            raise InputError(f"Expected {setting}=VALUE in {entry!r}.")
        settings[setting] = _parse_value(getattr(METHODS[name](), setting), setting, value)
    return method_named(name, **settings)


def _parse_value(default: object, setting: str, value: str) -> object:
    """The text of a setting's value as the type of its default."""
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
    """A method's name, also with settings as in "gem(depth=8)", or a method, to the method.

    Raises:
        UnknownNameError: for an unknown name or setting.
        InputError: for anything that is neither a name nor a method.

    Example:
        >>> as_method("clip_surgery(depth=4)").depth
        4
    """
    if isinstance(method, str):
        return _parse_method(method.strip()) if "(" in method else method_named(method)
    if isinstance(method, type) or not isinstance(method, Method):
        raise InputError(f"Expected a method or its name, but got {method!r}.")
    return method
