"""Results: the folder of a job, which knows what job it is and what of it is done.

`_manifest.json` holds everything the rows depend on. A folder goes on with its own job only: rows
of two models in one table would look alike.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from clip_surgery.apps.batch.job import Facts, Job
from clip_surgery.apps.batch.shards import (
    Done,
    read_shard,
    shard_path,
)
from clip_surgery.errors import InputError
from clip_surgery.storage.atomic_file import remove_partial, writing_atomically
from clip_surgery.storage.file_lock import take_lock

FORMAT = "clip-surgery batch 1"
MANIFEST, LOCK = "_manifest.json", "_lock"  # Parquet readers pass over names with a "_"
_SHOWN = 60


class Results:
    """The folder of a job, held by one run at a time.

    Raises:
        InputError: when the folder cannot be made, another run holds it, or it has results of
            another job.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder, self.job = folder, job
        self._facts = {"format": FORMAT, **job.facts()}
        self._lock: int | None = None

    def __enter__(self) -> Results:
        """Take hold of the folder, and refuse another job's before a model is loaded."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be the folder for results ({error.strerror})."
            ) from error
        try:
            if not take_lock(self._lock):
                raise InputError(f"{self.folder}: another run is writing there.")
            self._compare(self._facts)
            remove_partial(self.folder)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tidy up, and let go of the folder."""
        remove_partial(self.folder)
        self._release()

    def settle(self, facts: Facts) -> str:
        """Say which model the rows are by, once it is loaded; returns the key of the whole job.

        Raises:
            InputError: when the folder has results of another model, method or setting.
        """
        whole = self._facts | facts
        self._compare(whole)
        text = json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True)
        path = self.folder / MANIFEST
        if not path.exists():
            try:
                with writing_atomically(path, durable=True) as file:
                    file.write((text + "\n").encode())
            except OSError as error:
                raise InputError(f"{path}: cannot be written ({error.strerror}).") from error
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def done(self, key: str) -> list[Done]:
        """The shards that are whole."""
        found = []
        for shard in range(self.job.shards):
            if shard_path(self.folder, shard).exists():
                rows = len(self.job.cut(shard))
                one = read_shard(self.folder, shard, rows=rows, key=key)
                found += [] if one is None else [one]
        return found

    def _compare(self, facts: dict[str, Any]) -> None:
        """Refuse results of another job."""
        path = self.folder / MANIFEST
        advice = "give another --out, or remove it"
        if not path.exists():
            if next(self.folder.glob("part-*.parquet"), None) is not None:
                raise InputError(
                    f"{self.folder}: holds Parquet parts, but no {MANIFEST} that says what they "
                    f"are; {advice}."
                )
            return
        try:
            there = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f"{path}: damaged, so nobody knows the parts; {advice}.") from error
        for name, wanted in facts.items():
            if there.get(name) != wanted:
                found, expected = _shown(there.get(name), wanted)
                raise InputError(
                    f"{self.folder}: holds results of another job: its {name} is {found} and not "
                    f"{expected}; {advice}."
                )

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _shown(*values: object) -> list[str]:
    """Values that differ, from a little before where they do."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    pairs = enumerate(zip(*texts, strict=False))
    differ = next((place for place, (a, b) in pairs if a != b), min(map(len, texts)))
    start = max(0, differ - _SHOWN // 3)
    cut = [text[start : start + _SHOWN] for text in texts]
    return [
        "..." * (start > 0) + part + "..." * (start + _SHOWN < len(text))
        for part, text in zip(cut, texts, strict=True)
    ]
