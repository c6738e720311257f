"""Convert names of devices and number types to those of torch."""

from __future__ import annotations

import torch

from clip_surgery.errors import InputError, UnknownNameError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(device: str) -> torch.device:
    """Return the torch device of a name.

    Args:
        device: "auto" (CUDA if there is a GPU, otherwise MPS, otherwise CPU) or a name of torch
            such as "cuda:1".

    Raises:
        InputError: if torch does not know the name, or if this machine has no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"Expected device auto, cuda, mps or cpu, but got {device!r}.") from error
    device_count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(resolved.type, 0)
    if (resolved.index or 0) >= device_count:
        raise InputError(f"Expected a device of this machine, but {device!r} is not available.")
    return resolved


def resolve_dtype(dtype: str) -> torch.dtype:
    """Return the torch dtype of "float32", "bfloat16" or "float16".

    Raises:
        UnknownNameError: if the name is none of these.
    """
    if dtype not in DTYPES:
        raise UnknownNameError.among("dtype", dtype, DTYPES)
    return DTYPES[dtype]
