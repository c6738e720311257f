"""Measurement: an evaluation run from the command line, with progress, kept while it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.evaluation_options import SCENES, RunOptions
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset, describe_dataset
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.evaluation.datasets.subset import Subset
from clip_surgery.evaluation.execution.journal import clear_journal, remove_journal
from clip_surgery.evaluation.execution.run import EvaluationInterrupted, evaluate
from clip_surgery.evaluation.protocols.registry import Protocol
from clip_surgery.evaluation.reporting.provenance import installed_versions, source_commit
from clip_surgery.evaluation.reporting.report import Report, save_reports
from clip_surgery.explainer import Explainer
from clip_surgery.methods.method import Method
from clip_surgery.storage.file_lock import take_lock
from clip_surgery.text.cache import TextCache

HELD_OUT_SEED = 2_000_003  # scenes that the demo model never saw


@dataclass(frozen=True, kw_only=True)
class EvaluationRun:
    """What is run, and where its parts are kept till it is complete.

    Attributes:
        dataset: the images with their truth.
        root: the folder they are in.
        protocol: how they are measured.
        methods: row name to method.
        recipe: how the model is loaded, here and in worker processes.
        running: processes and journal: the one asked for, which stays, or one in the cache.
    """

    dataset: Dataset
    root: Path | None
    protocol: Protocol
    methods: Mapping[str, Method]
    recipe: partial[Explainer]
    running: RunOptions

    def run(self, out: Path | None) -> tuple[list[Report], bool]:
        """The reports, and whether the run was interrupted and they are of a part.

        They are written to `out` before the journal is removed: what cannot be written is not
        lost.

        Raises:
            InputError: when an image, text, journal or `out` cannot be used, or the same run is
                going on.
        """
        with console.status(f"loading {self.recipe.args[0]}"):
            explainer = self.recipe()
        journal = self.running.journal or self._cached_journal()
        with _alone(journal):
            if journal is not None and not self.running.resume:
                clear_journal(journal)  # the folder stays: it is what is locked
            if _has_parts(journal):
                console.notice(f"going on where a run stopped ({journal}); see --fresh.")
            try:
                reports, interrupted = self._evaluate(explainer, journal), False
            except EvaluationInterrupted as stop:
                reports, interrupted = stop.reports, True
            except InputError:
                self._leave(journal)
                raise
            if reports and out is not None:
                try:
                    save_reports(reports, out)
                except InputError:
                    self._leave(journal)
                    raise
                console.notice(f"reports are in {out}")
            if journal is not None and self.running.journal is None and not interrupted:
                remove_journal(journal)
        return reports, interrupted

    def _evaluate(self, explainer: Explainer, journal: Path | None) -> list[Report]:
        with console.progress("evaluating", total=len(self.dataset)) as advance:
            return evaluate(
                explainer,
                self.dataset,
                self.methods,
                protocol=self.protocol,
                journal=journal,
                workers=self.running.workers,
                load=self.recipe,
                on_progress=advance,
            )

    def _leave(self, journal: Path | None) -> None:
        """Say where the parts done are; none are no reason to leave a folder in the cache."""
        if _has_parts(journal):
            console.notice(f"what was done is in {journal}; --fresh begins anew.")
        elif journal is not None and self.running.journal is None:
            remove_journal(journal)

    def _cached_journal(self) -> Path | None:
        """Where the cache keeps this run's journal: the same for the same run, and for no other.

        None, and a notice, where the cache cannot be written: such a run cannot go on after a
        stop.
        """
        identity = (
            describe_dataset(self.dataset),
            None if self.root is None else str(self.root.resolve()),
            repr(self.protocol),
            {row: repr(method) for row, method in self.methods.items()},
            repr((self.recipe.args, sorted(self.recipe.keywords.items()))),
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


def _has_parts(journal: Path | None) -> bool:
    return journal is not None and any(journal.glob("*.part"))


@contextmanager
def _alone(journal: Path | None) -> Iterator[None]:
    """Keep a journal from a second run: the first to end would remove it under the other.

    Raises:
        InputError: when another process has it.
    """
    if journal is None:
        yield
        return
    try:
        journal.mkdir(parents=True, exist_ok=True)
        handle = os.open(journal, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{journal}: no journal can be kept here ({error.strerror}).") from error
    try:
        if not take_lock(handle):
            raise InputError(f"{journal}: this evaluation is running already.")
        yield
    finally:
        os.close(handle)


def open_images(
    dataset: str, root: Path | None, *, split: str | None, seed: int | None, count: int | None
) -> Dataset:
    """The data set of this name, or `count` images evenly spaced over it.

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


def prepare_file(path: Path) -> None:
    """Make the folder of a file that is to be written after long work, and see that it can be.

    Raises:
        InputError: when it cannot, or a folder is in the file's place.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, but this is a folder.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written here ({error.strerror}).") from error
