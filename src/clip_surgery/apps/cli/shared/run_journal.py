"""The journal of a command: where it is, its lock, and when it is removed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.evaluation_options import JournalOptions
from clip_surgery.errors import InputError
from clip_surgery.evaluation.execution.journal import clear_journal, remove_journal
from clip_surgery.evaluation.reporting.provenance import installed_versions, source_commit
from clip_surgery.storage.file_lock import take_lock
from clip_surgery.text.cache import TextCache


@dataclass(frozen=True, kw_only=True)
class RunJournal:
    """The journal of one run.

    Attributes:
        folder: the folder of the partial results; None if the cache cannot be written.
        is_named: whether the user named the folder. It is then kept when the run is complete.
    """

    folder: Path | None
    is_named: bool

    def has_parts(self) -> bool:
        """Return whether it holds partial results."""
        return self.folder is not None and any(self.folder.glob("*.part"))

    def finish(self) -> None:
        """Remove a journal in the cache, after all results were written."""
        if self.folder is not None and not self.is_named:
            remove_journal(self.folder)

    def keep_or_remove(self) -> None:
        """Print where partial results are; remove a journal in the cache that has none."""
        if self.has_parts():
            console.notice(f"what was done is in {self.folder}; --fresh begins anew.")
        else:
            self.finish()


@contextmanager
def run_journal(
    options: JournalOptions, kind: str, identity: Callable[[], tuple[object, ...]]
) -> Iterator[RunJournal]:
    """Open and lock the journal of a run; the run must call `finish` when it is complete.

    Args:
        options: the folder, if the user named one, and whether to continue.
        kind: name of the folder in the cache for such runs.
        identity: returns what sets the run apart from others, for a journal in the cache.

    Raises:
        InputError: if the journal cannot be used, or the same run is going on in another process.
    """
    folder = options.journal or _cached_folder(kind, identity())
    with opened_journal(options, folder) as journal:
        yield journal


@contextmanager
def opened_journal(options: JournalOptions, folder: Path | None) -> Iterator[RunJournal]:
    """Lock the journal in a folder, and clear it if the run should start again.

    Args:
        options: the folder, if the user named one, and whether to continue.
        folder: the folder of the journal; None if nothing can be kept.

    Raises:
        InputError: if the journal cannot be used, or the same run is going on in another process.
    """
    journal = RunJournal(folder=folder, is_named=options.journal is not None)
    with locked(folder, "this is running already"):
        if folder is not None and not options.resume:
            clear_journal(folder)  # the folder stays: it is what is locked
        if journal.has_parts():
            console.notice(f"going on where a run stopped ({folder}); see --fresh.")
        try:
            yield journal
        except InputError:
            journal.keep_or_remove()
            raise


def _cached_folder(kind: str, identity: tuple[object, ...]) -> Path | None:
    """Return a folder in the cache that only the same run has.

    If the cache cannot be written, a notice is printed and None is returned. Such a run cannot be
    continued after it was interrupted.
    """
    whole = (*identity, sorted(installed_versions().items()), source_commit())
    digest = sha256(repr(whole).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    folder = TextCache().directory.parent / kind / digest
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        console.notice(f"{folder}: cannot be written ({error.strerror}); nothing is kept.")
        return None
    return folder


@contextmanager
def locked(folder: Path | None, reason: str) -> Iterator[None]:
    """Create and lock a folder, because two runs would mix or remove each other's files.

    Args:
        folder: the folder; with None, nothing is locked.
        reason: what it means that another process has locked it.

    Raises:
        InputError: if another process has locked it, or it cannot be created.
    """
    if folder is None:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made and locked ({error.strerror}).") from error
    try:
        if not take_lock(handle):
            raise InputError(f"{folder}: {reason}.")
        yield
    finally:
        os.close(handle)
