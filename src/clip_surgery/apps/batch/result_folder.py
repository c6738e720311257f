"""The result folder of a job, which records the job and knows which shards are finished.

`_manifest.json` holds everything the rows depend on. A folder accepts results of its own job only,
because rows of two models could not be told apart in one table.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

from clip_surgery.apps.batch.job import Job, ModelIdentity
from clip_surgery.apps.batch.shards import FinishedShard, read_shard, shard_path
from clip_surgery.errors import InputError
from clip_surgery.inputs.names import printable
from clip_surgery.storage.atomic_file import remove_partial, writing_atomically
from clip_surgery.storage.file_lock import take_lock

FORMAT = "clip-surgery batch 2"
MANIFEST, LOCK = "_manifest.json", "_lock"  # Parquet readers skip names that begin with "_"
_SHOWN_CHARACTERS = 60
_ADVICE = "give another --out, or --overwrite"


class ResultFolder:
    """The result folder of a job, which one run at a time may use.

    It is a context manager: entering it locks the folder and compares the job.

    Args:
        folder: path of the folder; it is created if necessary.
        job: the job whose results it holds.

    Raises:
        InputError: on entering, if the folder cannot be created, another run uses it, or it holds
            results of another job.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder, self.job = folder, job
        self._job_identity = {"format": FORMAT, **job.identity()}
        self._lock: int | None = None
        self._name = printable(folder)

    def __enter__(self) -> ResultFolder:
        """Lock the folder, and compare the job before a model is loaded."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise InputError(
                f"{self._name}: cannot be the folder for results ({error.strerror})."
            ) from error
        try:
            if not take_lock(self._lock):
                raise InputError(f"{self._name}: another run is writing there.")
            self._compare(self._job_identity)
            remove_partial(self.folder)
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove unfinished files, and unlock the folder."""
        remove_partial(self.folder)
        self._unlock()

    def check_model(self, model: ModelIdentity) -> str:
        """Compare the loaded model with the manifest, or write the manifest of a new folder.

        Returns:
            A key of the job with this model, 16 hexadecimal digits.

        Raises:
            InputError: if the folder holds results of another model, method or setting.
        """
        identity = self._job_identity | model
        self._compare(identity)
        text = json.dumps(identity, indent=1, ensure_ascii=False, sort_keys=True)
        path = self.folder / MANIFEST
        if not path.exists():
            try:
                with writing_atomically(path, durable=True) as file:
                    file.write((text + "\n").encode())
            except OSError as error:
                raise InputError(
                    f"{printable(path)}: cannot be written ({error.strerror})."
                ) from error
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def finished_shards(self, key: str) -> list[FinishedShard]:
        """The shards whose files are complete; a warning names each file that is not.

        Args:
            key: key of the job from `check_model`.
        """
        finished = []
        for number in range(self.job.shard_count):
            path = shard_path(self.folder, number)
            if path.exists():
                rows = len(self.job.image_range(number))
                shard = read_shard(self.folder, number, rows=rows, key=key)
                if shard is not None:
                    finished.append(shard)
                    continue
                warnings.warn(
                    f"{printable(path)} is damaged or is not part {number} of this job, and is "
                    "computed again.",
                    stacklevel=2,
                )
        return finished

    def _compare(self, identity: dict[str, Any]) -> None:
        """Raise InputError if the folder holds results of another job."""
        path = self.folder / MANIFEST
        if not path.exists():
            if next(self.folder.glob("part-*.parquet"), None) is not None:
                raise InputError(
                    f"{self._name}: holds Parquet parts, but no {MANIFEST} that says what they "
                    f"are; {_ADVICE}."
                )
            return
        try:
            recorded = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"{printable(path)}: damaged, so that the job of the parts is unknown; {_ADVICE}."
            ) from error
        for name, expected in identity.items():
            if recorded.get(name) != expected:
                shown, shown_expected = _excerpts(recorded.get(name), expected)
                raise InputError(
                    f"{self._name}: holds results of another job: its {name} is {shown} and not "
                    f"{shown_expected}; {_ADVICE}."
                )

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _excerpts(*values: object) -> list[str]:
    """Short excerpts of values that differ, which begin a little before the difference."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    pairs = enumerate(zip(*texts, strict=False))
    difference = next((index for index, (a, b) in pairs if a != b), min(map(len, texts)))
    start = max(0, difference - _SHOWN_CHARACTERS // 3)
    end = start + _SHOWN_CHARACTERS
    return ["..." * (start > 0) + text[start:end] + "..." * (end < len(text)) for text in texts]
