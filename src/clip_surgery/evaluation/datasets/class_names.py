"""Class names of data sets with the aliases that classes are prompted with, read from text files.

A file in `names/` begins with comment lines (`# ` and the source of the names). Each further line
is one class: its official name and, if it has aliases, a colon and the aliases between commas. A
line that begins with `~` contains background words, the prompts for pixels without class.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.files.listing import read_text
from clip_surgery.inputs.names import printable

_FOLDER = files("clip_surgery.evaluation.datasets") / "names"


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The classes of a data set, in the order that its masks index.

    Attributes:
        names: the official name of each class.
        aliases: the names that each class is prompted with, the official one first if it is one of
            them.
        background: words for pixels that belong to no class.
        source: origin of the names.

    Raises:
        InputError: if the numbers of names and aliases differ, or a name occurs twice.
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
            ("alias", (*(word for aliases in self.aliases for word in aliases), *self.background)),
        ):
            repeated = sorted(word for word, count in Counter(words).items() if count > 1)
            if repeated:
                raise InputError(
                    f"Expected each {kind} once, but got {repeated[0]!r} more than once."
                )

    def __len__(self) -> int:
        return len(self.names)


@cache
def read_class_names(name: str) -> ClassNames:
    """Return a list of class names of this package, such as "voc20".

    Raises:
        UnknownNameError: if there is no list of this name.

    Example:
        >>> read_class_names("voc20").names[:3]
        ('aeroplane', 'bicycle', 'bird')
    """
    path = _FOLDER / f"{name}.txt"
    if not path.is_file():
        known = sorted(entry.name.removesuffix(".txt") for entry in _FOLDER.iterdir())
        raise UnknownNameError.among("list of class names", name, known)
    return parse_class_names(path.read_text(encoding="utf-8"))


def read_names_file(path: Path) -> ClassNames:
    """Return the class names of a file of a user, in the format of `parse_class_names`.

    Raises:
        InputError: if the file cannot be read, a name is missing or occurs twice; the message
            names the file.
    """
    text = read_text(path, encoding="utf-8-sig")
    try:
        return parse_class_names(text)
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from None


def parse_class_names(text: str) -> ClassNames:
    r"""Parse the text of a file of class names.

    Raises:
        InputError: if a name is missing or occurs twice.

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
            name, _, alias_text = line.partition(":")
            names.append(name.strip())
            aliases.append(_words(alias_text) or (name.strip(),))
    return ClassNames(
        names=tuple(names),
        aliases=tuple(aliases),
        background=tuple(background),
        source=" ".join(source),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))
