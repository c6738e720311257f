"""Tensor file: tensors and plain facts about them in one safetensors file of a named format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.storage.atomic_file import writing_atomically


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, kind: str
) -> None:
    """Write tensors, and facts as JSON beside them, under the name of a format.

    Raises:
        InputError: when the file cannot be written.
    """
    # Images of one batch share memory, which the file format refuses: each gets its own.
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
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error


def read_tensors(path: str | Path, *, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote under this format.

    Raises:
        InputError: when the file is missing, damaged or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"Expected a file of format {kind!r}, but {path}: {error}.") from error
    if metadata.get("format") != kind:
        raise InputError(
            f"Expected a file of format {kind!r}, but {path} is {metadata.get('format')!r}."
        )
    try:
        facts = json.loads(metadata["facts"])
    except (KeyError, ValueError, RecursionError) as error:
        raise InputError(
            f"Expected a file of format {kind!r}, but {path} is damaged: {error!r}."
        ) from error
    return tensors, facts
