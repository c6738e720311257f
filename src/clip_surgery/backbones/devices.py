"""Names of devices and number types, checked."""

from __future__ import annotations

import torch

from clip_surgery.errors import InputError, UnknownNameError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(device: str) -> torch.device:
    """Turn "auto" or a device's name into a device that is there.

    Raises:
        InputError: for a name that torch does not know or a device that is not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"Expected device auto, cuda, mps or cpu, but got {device!r}.") from error
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(found.type, 0)
    if (found.index or 0) >= there:
        raise InputError(f"Expected a device that is there, but {device!r} is not.")
    return found


def resolve_dtype(dtype: str) -> torch.dtype:
    """Turn "float32", "bfloat16" or "float16" into torch's type.

    Raises:
        UnknownNameError: for another name.
    """
    if dtype not in DTYPES:
        raise UnknownNameError.among("dtype", dtype, DTYPES)
    return DTYPES[dtype]
