"""Text features on disk, so that the feature of a text is computed once per machine.

A feature depends on the weights, the templates, the text and the dtype of the weights, and on
nothing else. Weights, templates and dtype determine a folder, and the text a safetensors file in
it. Each file contains its text, the key of its folder and a checksum, which are verified when it is
read. Files are written atomically, so that readers and other processes never see a partial one.

The size of a cache is limited: when features have been written and the files are larger than the
limit, those that were not used for the longest time are deleted.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import platformdirs
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from clip_surgery.storage.atomic_file import writing_atomically

DIRECTORY_VARIABLE = "CLIP_SURGERY_CACHE"
DEFAULT_MAX_BYTES = 2**30
_SHARE_KEPT = 0.8
"""Share of the limit that is left after old files were deleted, so that this happens rarely."""
_SECONDS_BETWEEN_USES = 3600
"""A file that is read again within this time is not marked as used again."""
_FORMAT = 2
_KEY = "feature"
_UNIT_LENGTH_TOLERANCE = 1e-3


class TextCache:
    """A directory of text features.

    Args:
        directory: the directory. If None, it is the one that the environment variable
            CLIP_SURGERY_CACHE names, or else the cache directory of the user.
        max_bytes: limit of the sum of the sizes of all entries; a feature takes about 4 KiB.

    Example:
        >>> TextCache("/tmp/texts").directory.as_posix()
        '/tmp/texts'
    """

    def __init__(
        self, directory: str | Path | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        self.max_bytes = max_bytes
        self.directory = Path(directory) if directory is not None else _default_directory()
        self._writable = True

    def __repr__(self) -> str:
        return f"TextCache({str(self.directory)!r})"

    def folder(
        self, *, fingerprint: str, templates: Sequence[str], dtype: torch.dtype, truncate: bool
    ) -> CacheFolder:
        """Return the folder of features of one model; no file is read or written yet.

        Args:
            fingerprint: a text that changes with any weight of the model.
            templates: the prompt templates; another order is another folder.
            dtype: dtype of the weights.
            truncate: whether prompts over the context length were cut. Their features must not be
                read by a caller for whom such prompts are errors.
        """
        settings = [_FORMAT, fingerprint, list(templates), str(dtype), truncate]
        return CacheFolder(self, _digest(json.dumps(settings)))

    def disable_writing(self, error: OSError) -> None:
        """Write no more entries, and warn about it the first time."""
        if self._writable:
            self._writable = False
            warnings.warn(
                f"{self.directory}: text features cannot be written here ({error.strerror}); they "
                f"are computed again in each run. Set {DIRECTORY_VARIABLE} to a directory that can "
                "be written.",
                stacklevel=2,
            )

    def delete_oldest(self) -> None:
        """Delete the entries that were not used for the longest time if the limit is exceeded.

        Entries that other processes delete or replace at the same time do no harm. Folders that
        become empty stay.
        """
        entries = []
        for path in self.directory.glob("*/*.safetensors"):
            with suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        size = sum(entry_size for _, entry_size, _ in entries)
        if size <= self.max_bytes:
            return
        for _, entry_size, path in sorted(entries):
            if size <= _SHARE_KEPT * self.max_bytes:
                break
            with suppress(OSError):
                path.unlink()
            size -= entry_size

    @property
    def writable(self) -> bool:
        """Whether no write has failed yet."""
        return self._writable


class CacheFolder:
    """The cache entries of one model and one tuple of templates.

    Args:
        cache: the cache that the folder is part of.
        key: digest of weights, templates and dtype; the name of the folder.
    """

    def __init__(self, cache: TextCache, key: str) -> None:
        self.cache = cache
        self.key = key
        self.directory = cache.directory / key

    def path(self, text: str) -> Path:
        """Return the path of the entry of a text; the file need not exist."""
        return self.directory / f"{_digest(text)}.safetensors"

    def read(self, text: str, width: int | None) -> Tensor | None:
        """Return the feature (width,) of a text, or None if there is no valid entry.

        The entry is marked as used now. A width of None is not checked.

        An entry that is damaged, that belongs to another text or other weights, or that is not a
        float32 feature of unit length and this width, causes a warning and counts as missing.
        """
        path = self.path(text)
        try:
            content = path.read_bytes()
            feature = safetensors.torch.load(content).get(_KEY)
            description = _metadata(content)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, SafetensorError, ValueError, RecursionError) as error:
            damage = str(error)
        else:
            if feature is None or not _is_feature(feature, width):
                damage = f"expected {width or 'some'} float32 numbers of unit length"
            elif description.get("text") != text or description.get("key") != self.key:
                damage = "it belongs to another text or to other weights"
            elif description.get("checksum") != _checksum(feature):
                damage = "its checksum does not match its content"
            else:
                _mark_as_used(path)
                return feature
        warnings.warn(
            f"{path}: this text feature is damaged and is computed again: {damage}.", stacklevel=2
        )
        return None

    def write(self, text: str, feature: Tensor) -> None:
        """Write the feature (D,) of a text, unless it is not finite.

        If the directory cannot be written, the cache warns once and writes no more entries.
        """
        if not self.cache.writable or not bool(feature.isfinite().all()):
            return
        values = feature.detach().float().cpu().contiguous()
        description = {"text": text, "key": self.key, "checksum": _checksum(values)}
        content = safetensors.torch.save({_KEY: values}, {_KEY: json.dumps(description)})
        path = self.path(text)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with writing_atomically(path) as file:
                file.write(content)
        except OSError as error:
            self.cache.disable_writing(error)


def _default_directory() -> Path:
    from_environment = os.environ.get(DIRECTORY_VARIABLE)
    base = (
        Path(from_environment)
        if from_environment
        else Path(platformdirs.user_cache_dir("clip-surgery", False))
    )
    return base / "texts"


def _digest(content: str) -> str:
    return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _checksum(feature: Tensor) -> str:
    return sha256(feature.numpy().tobytes()).hexdigest()


def _metadata(content: bytes) -> dict[str, object]:
    """Return the description that `CacheFolder.write` puts into the header of an entry."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header.get("__metadata__", {}).get(_KEY, "{}"))
    return description if isinstance(description, dict) else {}


def _mark_as_used(path: Path) -> None:
    """Set the time of the last use of a file to now, unless it is recent."""
    with suppress(OSError):  # a cache that cannot be written is never cleaned up
        if time.time() - path.stat().st_mtime > _SECONDS_BETWEEN_USES:
            os.utime(path)


def _is_feature(tensor: Tensor, width: int | None) -> bool:
    return (
        tensor.dtype == torch.float32
        and tensor.ndim == 1
        and len(tensor) == (width or len(tensor))
        and abs(float(tensor.norm()) - 1) < _UNIT_LENGTH_TOLERANCE  # False when it is NaN
    )
