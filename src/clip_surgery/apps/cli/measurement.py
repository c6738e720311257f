"""Measurement: an evaluation run from the command line, with progress, kept while it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from clip_surgery.apps.cli import console
from clip_surgery.apps.cli.evaluate import SCENES, RunOptions
from clip_surgery.backbones.text_cache import TextCache
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.evaluation.datasets.subset import Subset
from clip_surgery.evaluation.origin import installed_versions, source_commit
from clip_surgery.evaluation.protocols import Protocol
from clip_surgery.evaluation.report import Report
from clip_surgery.evaluation.run import EvaluationInterrupted, evaluate
from clip_surgery.explainer import Explainer
from clip_surgery.methods.method import Method

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HELD_OUT_SEED = 2_000_003  # scenes that the demo model never saw


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is run, and where its parts are kept till it is complete.

    Attributes:
        dataset: the pictures with their truth.
        protocol: how they are measured.
        methods: row name to method.
        recipe: how the model is loaded, here and in worker processes.
        workers: processes that share the work, 0 for this one alone.
        journal: the folder of the parts done; None where nothing can be kept.
        remove: whether the journal goes when the run is complete.
    """

    dataset: Dataset
    protocol: Protocol
    methods: Mapping[str, Method]
    recipe: partial[Explainer]
    workers: int
    journal: Path | None
    remove: bool

    @classmethod
    def begin(
        cls,
        dataset: Dataset,
        *,
        root: Path | None,
        protocol: Protocol,
        methods: Mapping[str, Method],
        recipe: partial[Explainer],
        running: RunOptions,
    ) -> Measurement:
        """A run with its journal: the one asked for, which stays, or one in the cache.

        Raises:
            InputError: when an earlier journal is to be removed and cannot be.
        """
        journal = running.journal
        if journal is None:
            journal = _cached_journal(dataset, root, protocol, methods, recipe)
        if journal is not None and not running.resume:
            remove_journal(journal)
        return cls(
            dataset=dataset,
            protocol=protocol,
            methods=methods,
            recipe=recipe,
            workers=running.workers,
            journal=journal,
            remove=running.journal is None,
        )

    def run(self) -> tuple[list[Report], bool]:
        """The reports, and whether the run was interrupted and they are of a part.

        Raises:
            InputError: when a picture, text or journal cannot be used, or the same run is going on.
        """
        with console.status(f"loading {self.recipe.args[0]}"):
            explainer = self.recipe()
        with _alone(self.journal):
            if self._has_parts():
                console.notice(f"going on where a run stopped ({self.journal}); see --fresh.")
            try:
                reports = self._evaluate(explainer)
            except EvaluationInterrupted as stop:
                return stop.reports, True
            except InputError:
                if self._has_parts():
                    console.notice(f"what was done is in {self.journal}; --fresh begins anew.")
                raise
            if self.journal is not None and self.remove:
                remove_journal(self.journal)
        return reports, False

    def _evaluate(self, explainer: Explainer) -> list[Report]:
        with console.progress("evaluating", total=len(self.dataset)) as advance:
            return evaluate(
                explainer,
                self.dataset,
                self.methods,
                protocol=self.protocol,
                journal=self.journal,
                workers=self.workers,
                load=self.recipe,
                on_progress=advance,
            )

    def _has_parts(self) -> bool:
        return self.journal is not None and any(self.journal.glob("*.part"))


@contextmanager
def _alone(journal: Path | None) -> Iterator[None]:
    """Keep a journal from a second run: the first to end would remove it under the other.

    Raises:
        InputError: when another process has it.
    """
    if journal is None or fcntl is None:
        yield
        return
    try:
        journal.mkdir(parents=True, exist_ok=True)
        handle = os.open(journal, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{journal}: no journal can be kept here ({error.strerror}).") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{journal}: this evaluation is running already.") from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def _cached_journal(
    dataset: Dataset,
    root: Path | None,
    protocol: Protocol,
    methods: Mapping[str, Method],
    recipe: partial[Explainer],
) -> Path | None:
    """Where the cache keeps a run's journal: the same for the same run, and for no other.

    None, and a notice, where the cache cannot be written: such a run cannot go on after a stop.
    """
    identity = (
        repr(dataset),
        None if root is None else str(root.resolve()),
        repr(protocol),
        {row: repr(method) for row, method in methods.items()},
        repr((recipe.args, sorted(recipe.keywords.items()))),
        sorted(installed_versions().items()),
        source_commit(),
    )
    digest = sha256(repr(identity).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    journal = TextCache().directory.parent / "evaluations" / digest
    try:
        journal.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        console.notice(f"{journal}: cannot be written ({error.strerror}); nothing is kept.")
        return None
    return journal


def open_pictures(
    dataset: str, root: Path | None, *, split: str | None, seed: int | None, count: int | None
) -> Dataset:
    """The data set of this name, or `count` pictures evenly spaced over it.

    Raises:
        UnknownNameError: for an unknown name, or an option that this data set does not have.
        InputError: when its folder is missing or incomplete.
    """
    given = {"split": split, "seed": seed}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if dataset == "scenes":
        settings = {"seed": HELD_OUT_SEED, "count": count or SCENES, **settings}
        return open_dataset(dataset, root, **settings)
    whole = open_dataset(dataset, root, **settings)
    return whole if count is None or count >= len(whole) else Subset(whole, count)


def remove_journal(folder: Path) -> None:
    """Remove a journal's files, and the folder if nothing else is in it.

    Raises:
        InputError: when they cannot be removed.
    """
    if not folder.is_dir():
        return
    try:
        for pattern in ("journal.json", "*.part", "*.partial"):
            for path in folder.glob(pattern):
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise InputError(f"{folder}: cannot be removed ({error.strerror}).") from error


def prepare_file(path: Path) -> None:
    """Make the folder of a file that is to be written after long work.

    Raises:
        InputError: when it cannot be made, or a folder is in the file's place.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, but this is a folder.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written here ({error.strerror}).") from error
