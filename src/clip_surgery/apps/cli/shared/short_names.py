"""Short names of methods and models for the headings of figures.

The full names, with all settings, are in the JSON and safetensors files.
"""

from __future__ import annotations

import ast
import re


def short_method(method: str) -> str:
    """Return the name of a method with the settings that differ from its defaults.

    A method that an explanation records has the depth that was used in the place of "auto", so
    that this depth is shown.

    Args:
        method: the method with all settings, as `Explanation.method` has it.

    Returns:
        The name by which the command line knows the method. A text of another form is returned as
        it is.

    Example:
        >>> from clip_surgery.methods.clip_surgery import ClipSurgery
        >>> short_method(repr(ClipSurgery())), short_method(repr(ClipSurgery(depth=3)))
        ('clip_surgery', 'clip_surgery(depth=3)')
    """
    from clip_surgery.methods.registry import METHODS

    names = {method_class.__name__: name for name, method_class in METHODS.items()}
    class_name, settings = _read_call(method)
    if class_name not in names:
        return method
    name = names[class_name]
    _, defaults = _read_call(repr(METHODS[name]()))
    changed = [
        f"{setting}={value}"
        for setting, value in settings.items()
        if setting not in defaults or defaults[setting] != value
    ]
    return f"{name}({', '.join(changed)})" if changed else name


def short_model(backbone: str) -> str:
    """Return the name of a model as papers write it, without library or folder.

    Example:
        >>> short_model("open_clip:ViT-B-16/openai"), short_model("hugging_face:openai/clip-vit")
        ('ViT-B/16 openai', 'openai/clip-vit')
        >>> short_model("/models/street"), short_model("demo")
        ('street', 'demo')
    """
    library, colon, name = backbone.partition(":")
    if library == "open_clip" and colon and not name.startswith(("hf-hub:", "local-dir:")):
        architecture, _, weights = name.partition("/")
        architecture = re.sub(r"^(ViT-[A-Za-z]+)-(\d+)", r"\1/\2", architecture)
        return f"{architecture} {weights.rpartition('/')[2]}".strip()
    if library == "hugging_face" and colon:
        return name.rpartition("/")[2] if name.startswith(("/", ".")) else name
    return backbone.rstrip("/").rpartition("/")[2] or backbone


def _read_call(text: str) -> tuple[str, dict[str, str]]:
    """The name and the keyword arguments of a call as text; no name if the text is no such call."""
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "", {}
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return "", {}
    arguments = {
        keyword.arg: _setting_text(keyword.value) for keyword in call.keywords if keyword.arg
    }
    return call.func.id, arguments


def _setting_text(value: ast.expr) -> str:
    """The value of a setting as the command line accepts it: texts without quotation marks."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    return ast.unparse(value)
