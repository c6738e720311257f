"""Selection of texts: which texts of an explanation a task answers for, alone or as unions.

All tasks read their argument `texts` here, so that a list means the same in all of them: each
entry on its own. Several texts as one object, a union, are named as such: by an entry that is
itself a list of texts, by "person,man" as in `split_names`, or by `union=True` for all entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation

Texts = str | Sequence[str | Sequence[str]] | None
"""Texts of a task: one, several, entries that are unions themselves, or None for all."""


@dataclass(frozen=True, kw_only=True)
class TextSelection:
    """The results that a task gives for each image, and the texts that each of them is made of.

    Attributes:
        names: name of each of the T results; the texts of a union are joined by "+".
        groups: for each result, the positions of its texts in `Explanation.texts`.
    """

    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        """Number of results T for each image."""
        return len(self.groups)

    @property
    def positions(self) -> list[int]:
        """Positions of all texts, result by result (M entries)."""
        return [position for group in self.groups for position in group]

    @property
    def has_unions(self) -> bool:
        """Whether a result is made of several texts."""
        return any(len(group) > 1 for group in self.groups)

    def take(self, values: Tensor, *, dim: int = -1) -> Tensor:
        """Select the M texts of `positions` from a dimension of C texts.

        The tensor itself is returned if that would change nothing.
        """
        positions = self.positions
        if positions == list(range(values.shape[dim])):
            return values
        return values.index_select(dim, torch.tensor(positions, device=values.device))

    def unite(self, values: Tensor, *, dim: int = -1) -> Tensor:
        """Reduce a dimension of M texts to T results: the highest value of the texts of a union."""
        if not self.has_unions:
            return values
        dim %= values.ndim
        numbers = [number for number, group in enumerate(self.groups) for _ in group]
        shape = [-1 if axis == dim else 1 for axis in range(values.ndim)]
        index = torch.tensor(numbers, device=values.device).view(shape).expand_as(values)
        united = values.new_empty([*values.shape[:dim], len(self), *values.shape[dim + 1 :]])
        return united.scatter_reduce_(dim, index, values, "amax", include_self=False)

    def texts_of(self, explanation: Explanation) -> list[list[str]]:
        """Return the texts of each result, in the form that an argument `texts` takes."""
        return [list(dict.fromkeys(explanation.texts[p] for p in group)) for group in self.groups]


def select_texts(explanation: Explanation, texts: Texts, *, union: bool = False) -> TextSelection:
    """Return the selection that the arguments of a task describe.

    Args:
        explanation: explanations for C texts.
        texts: one text, or a list of which each entry gives one result. An entry that is itself
            a list, or a string "person,man" that is not a text of the explanation, is the union of
            several texts. All texts, each on its own, if None. A text that occurs more than once,
            as a word of a sentence can, is the union of its positions.
        union: whether all texts together give one result.

    Raises:
        InputError: if a list is empty, an entry is not a text, or a union has a text twice.
        UnknownNameError: if the explanation was not made for a text.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow", "pig"])
        >>> select_texts(explanation, ["pig", "clock,cow"])
        TextSelection(names=('pig', 'clock+cow'), groups=((2,), (0, 1)))
    """
    positions: dict[str, list[int]] = {}
    for index, text in enumerate(explanation.texts):
        positions.setdefault(text, []).append(index)
    if texts is None:
        parts: list[tuple[str, ...]] = [(text,) for text in explanation.texts]
        groups: list[tuple[int, ...]] = [(index,) for index in range(len(explanation.texts))]
    else:
        entries = [texts] if isinstance(texts, str) else list(texts)
        if not entries:
            raise InputError("Expected at least one text, but got an empty list.")
        parts = [_texts_of(entry, positions) for entry in entries]
        groups = [_positions_of(part, positions, explanation.texts) for part in parts]
    if union:
        parts = [tuple(text for part in parts for text in part)]
        groups = [tuple(dict.fromkeys(index for group in groups for index in group))]
    return TextSelection(names=tuple("+".join(part) for part in parts), groups=tuple(groups))


def split_names(names: Sequence[str | Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the names of each class: "person,man" is one class with two names.

    Args:
        names: classes; a class is a string of names separated by commas, or a list of names.

    Raises:
        InputError: if there is no class, a class has no name, or a name occurs more than once.

    Example:
        >>> split_names(["person, man", ["sky"]])
        [('person', 'man'), ('sky',)]
    """
    if isinstance(names, str):
        raise InputError(f"Expected a list of classes, but got one string: {names!r}.")
    classes = [_split(entry) for entry in names]
    if not classes:
        raise InputError("Expected at least one class, but got none.")
    check_distinct(classes)
    return classes


def check_distinct(classes: Sequence[Sequence[str]]) -> None:
    """Check that no name occurs more than once, in one class or in two.

    Raises:
        InputError: if one does.
    """
    seen: set[str] = set()
    for class_names in classes:
        for name in class_names:
            if name in seen:
                raise InputError(f"Expected each name once, but got {name!r} more than once.")
            seen.add(name)


def _split(entry: str | Sequence[str]) -> tuple[str, ...]:
    parts = tuple(entry.split(",") if isinstance(entry, str) else entry)
    for part in parts:
        if not isinstance(part, str):
            raise InputError(f"Expected texts, but got {type(part).__name__}: {part!r}.")
    class_names = tuple(part.strip() for part in parts)
    if not class_names or not all(class_names):
        raise InputError(f"Expected names in every class, but got {entry!r}.")
    return class_names


def _texts_of(entry: str | Sequence[str], known: dict[str, list[int]]) -> tuple[str, ...]:
    """The texts of one entry of a list."""
    if isinstance(entry, str):
        return (entry,) if entry in known or "," not in entry else _split(entry)
    if not isinstance(entry, Sequence):
        raise InputError(f"Expected texts, but got {type(entry).__name__}: {entry!r}.")
    if not entry:
        raise InputError("Expected at least one text, but got an empty list.")
    for text in entry:
        if not isinstance(text, str):
            raise InputError(f"Expected texts, but got {type(text).__name__}: {text!r}.")
    return tuple(entry)


def _positions_of(
    part: tuple[str, ...], known: dict[str, list[int]], texts: tuple[str, ...]
) -> tuple[int, ...]:
    check_distinct([part])
    for text in part:
        if text not in known:
            raise UnknownNameError.among("text", text, texts)
    return tuple(dict.fromkeys(index for text in part for index in known[text]))
