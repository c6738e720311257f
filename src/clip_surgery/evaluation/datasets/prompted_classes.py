"""A data set whose classes are prompted with other names, for example those of an author."""

from __future__ import annotations

from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames, read_names_file
from clip_surgery.evaluation.datasets.dataset import Dataset, describe_dataset
from clip_surgery.evaluation.datasets.wrapped_dataset import WrappedDataset
from clip_surgery.inputs.names import printable


class PromptedClasses(WrappedDataset):
    r"""A data set whose classes are prompted with the names of a file.

    Released codes of segmentation have such files: one line for each class, in the order of the
    data set, with its names between commas. The files of this package, with the official name and
    a colon before them, are read too, and so are their comments (`#`) and background words (`~`).
    In reports, classes keep the names of the data set.

    Args:
        dataset: the data set.
        path: the file.

    Raises:
        InputError: if the file cannot be read, has another number of classes than the data set, or
            has a name twice.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from clip_surgery.evaluation.datasets.scenes import SceneDataset
        >>> scenes = SceneDataset(seed=1, count=1, names=("clock", "dog"))
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "names.txt"
        ...     _ = path.write_text("alarm clock, clock\ndog, puppy\n")
        ...     PromptedClasses(scenes, path).classes.aliases
        (('alarm clock', 'clock'), ('dog', 'puppy'))
    """

    def __init__(self, dataset: Dataset, path: str | Path) -> None:
        super().__init__(dataset)
        self.path = Path(path)
        given, usual = read_names_file(self.path), super().classes
        if len(given) != len(dataset.names):
            raise InputError(
                f"{printable(self.path)}: expected names of the {len(dataset.names)} classes of "
                f"{dataset.name}, one line for each, but got {len(given)} lines."
            )
        aliases = tuple(
            tuple(filter(None, map(str.strip, ",".join(names).split(","))))
            for names in given.aliases
        )
        background = given.background or (() if usual is None else usual.background)
        try:
            self._classes = ClassNames(
                names=tuple(dataset.names),
                aliases=aliases,
                background=background,
                source=given.source,
            )
        except InputError as error:
            raise InputError(f"{printable(self.path)}: {error}") from None

    @property
    def classes(self) -> ClassNames:
        """The class names of the data set, with the aliases of the file."""
        return self._classes

    def __repr__(self) -> str:
        return f"PromptedClasses({describe_dataset(self.dataset)}, {str(self.path)!r})"
