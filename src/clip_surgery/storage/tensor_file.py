"""Write and read tensors together with plain values in one safetensors file of a named format."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.inputs.names import printable
from clip_surgery.storage.atomic_file import writing_atomically


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, kind: str
) -> None:
    """Write tensors and plain values about them to a file of a named format.

    The file is replaced as a whole: if writing fails, for example on a full disk, an older file
    of this name stays as it was.

    Args:
        path: the file to write or to replace.
        tensors: tensors by name.
        facts: plain values about the tensors, stored as JSON. Text that cannot be encoded as UTF-8
            is escaped.
        kind: name of the format, which `read_tensors` checks.

    Raises:
        InputError: if the file cannot be written.
    """
    # The maps of a batch share memory, which safetensors does not accept, so each is copied.
    content = save(
        {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in tensors.items()
        },
        metadata={"format": kind, "facts": json.dumps(facts)},
    )
    try:
        with writing_atomically(Path(path)) as file:
            file.write(content)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise InputError(f"{_shown(path)}: cannot be written ({_reason(error)}).") from error


def read_tensors(path: str | Path, *, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the plain values of a file that `write_tensors` wrote.

    Args:
        path: the file.
        kind: name of the expected format.

    Raises:
        InputError: if the file is missing, damaged or of another format.
    """
    expected = f"Expected a file of format {kind!r}, but {_shown(path)}"
    try:
        if not Path(path).is_file():
            raise InputError(f"{expected}: {_absence(Path(path))}.")
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, MemoryError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{expected}: {_reason(error)}.") from error
    if metadata.get("format") != kind:
        raise InputError(f"{expected} is {metadata.get('format')!r}.")
    try:
        facts = json.loads(metadata["facts"])
    except (KeyError, ValueError) as error:
        raise InputError(f'{expected} is damaged: field "facts": {error!r}.') from error
    except RecursionError as error:
        raise InputError(f'{expected} is damaged: field "facts" is nested too deeply.') from error
    if not isinstance(facts, dict):
        raise InputError(f'{expected} is damaged: field "facts" is a {type(facts).__name__}.')
    return tensors, facts


def _absence(path: Path) -> str:
    """The reason why a path that is not a regular file cannot be read."""
    return "not a regular file" if path.exists() else "no such file"


def _shown(path: str | Path) -> str:
    """The path for a message, cut after 300 characters."""
    text = printable(path)
    return text if len(text) <= 300 else f"{text[:300]}..."


def _reason(error: BaseException) -> str:
    """The reason of an error in a few words, without the path."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return "the path is too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
