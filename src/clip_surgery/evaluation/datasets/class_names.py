"""Class names of a data set, with the other names the field prompts them by; kept as text files.

A file in `names/` begins with comment lines (`# ` and where the names come from). Each further
line is one class: its official name, and after a colon its aliases between commas, where it has
any. A line that begins with `~` holds background words: what a pixel without class is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from clip_surgery.errors import InputError, UnknownNameError

_FOLDER = files("clip_surgery.evaluation.datasets") / "names"


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The classes of a data set, in the order that its masks index.

    Attributes:
        names: one official name a class.
        aliases: the names a class is prompted by, the official one first where it is one of them.
        background: words for what belongs to no class.
        source: where all this comes from.

    Raises:
        InputError: when names and aliases do not belong together, or a name occurs twice.
    """

    names: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]
    background: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.aliases) or not all(self.aliases):
            raise InputError(
                f"Expected names with aliases each, but got {len(self.names)} names and "
                f"{len(self.aliases)} lists of aliases."
            )
        for kind, words in (
            ("name", self.names),
            ("alias", (*(word for own in self.aliases for word in own), *self.background)),
        ):
            twice = sorted({word for word in words if words.count(word) > 1})
            if twice:
                raise InputError(f"Expected each {kind} once, but got {twice[0]!r} more than once.")

    def __len__(self) -> int:
        return len(self.names)


@cache
def read_class_names(name: str) -> ClassNames:
    """The class names kept under this name, such as "voc20".

    Raises:
        UnknownNameError: when there is no such list.

    Example:
        >>> read_class_names("voc20").names[:3]
        ('aeroplane', 'bicycle', 'bird')
    """
    path = _FOLDER / f"{name}.txt"
    if not path.is_file():
        known = sorted(entry.name.removesuffix(".txt") for entry in _FOLDER.iterdir())
        raise UnknownNameError.among("list of class names", name, known)
    return parse_class_names(path.read_text(encoding="utf-8"))


def parse_class_names(text: str) -> ClassNames:
    r"""Read the text of a file of class names.

    Raises:
        InputError: when a name is missing or occurs twice.

    Example:
        >>> parse_class_names("# by hand\ncat\nsofa: sofa, couch\n~ wall, floor").aliases
        (('cat',), ('sofa', 'couch'))
    """
    names: list[str] = []
    aliases: list[tuple[str, ...]] = []
    background: list[str] = []
    source: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            source.append(line.lstrip("# "))
        elif line.startswith("~"):
            background += _words(line[1:])
        else:
            name, _, others = line.partition(":")
            names.append(name.strip())
            aliases.append(_words(others) or (name.strip(),))
    return ClassNames(
        names=tuple(names),
        aliases=tuple(aliases),
        background=tuple(background),
        source=" ".join(source),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))
