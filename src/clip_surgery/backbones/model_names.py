"""The names of models: their forms, and the list of models that can be loaded by name."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Literal, NamedTuple, get_args

from clip_surgery.backbones.config_files import is_file, is_folder
from clip_surgery.backbones.hub import one_line
from clip_surgery.errors import InputError, UnknownNameError

Scheme = Literal["demo", "open_clip", "hf-hub", "hugging_face", "folder"]
_FORMS = (
    "demo, open_clip:ARCH/TAG, open_clip:ARCH with a checkpoint file, hf-hub:NAME, "
    "hugging_face:NAME, or a folder"
)


class Source(NamedTuple):
    """The name of a model, split into its scheme and the rest of the name."""

    scheme: Scheme
    rest: str


class BackboneRow(NamedTuple):
    """One line of the list of models: its name, its source, and a note."""

    name: str
    source: str
    note: str


def parse_name(name: str) -> Source:
    """Split the name of a model into its scheme and the rest.

    Args:
        name: a name in one of the forms of `load_backbone`.

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
    raise UnknownNameError(f"Unknown model '{one_line(name)}'.{hint} Expected {_FORMS}.")


def list_backbones() -> Iterator[BackboneRow]:
    """Yield the models that can be loaded by name: the demo, weights of open_clip, other forms."""
    yield BackboneRow("demo", "embedded", "offline; knows the words of its scenes only")
    from clip_surgery.backbones.open_clip.catalogue import list_architectures

    for architecture, tag in list_architectures():
        yield BackboneRow(f"open_clip:{architecture}/{tag}", "open_clip", "downloaded on first use")
    yield BackboneRow("open_clip:ARCH", "a file", "with --checkpoint FILE")
    yield BackboneRow("hf-hub:NAME", "Hugging Face hub", "repositories in open_clip's format")
    yield BackboneRow("hugging_face:NAME", "Hugging Face hub", "CLIP models of transformers")
    yield BackboneRow("FOLDER", "a local folder", "in open_clip's or transformers' format")
