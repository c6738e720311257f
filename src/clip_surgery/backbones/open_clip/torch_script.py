"""Recognise the TorchScript archives in which OpenAI published CLIP, and explain the conversion.

Loading a TorchScript archive can run code that the archive contains. Therefore this library does
not load such archives, just as it reads pickled checkpoints with `weights_only`. A user who trusts
the file can convert it once to a plain dictionary of weights.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
"""Entries of OpenAI's archives that are settings; open_clip expects weights only."""


def is_torch_script(file: Path) -> bool:
    """Return whether the file is a TorchScript archive: a ZIP file with a folder `code`."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def torch_script_advice(file: Path) -> str:
    """Return advice for a TorchScript archive, with the Python code that converts it.

    Example:
        >>> torch_script_advice(Path("ViT-B-16.pt")).startswith("it is a TorchScript archive")
        True
    """
    converted = file.with_name(f"{file.stem}.weights.pt")
    return (
        "it is a TorchScript archive, which can run code when loaded. If you trust it, convert it "
        f"once with `{conversion(file, converted)}` and pass {converted.name} as the checkpoint. "
        "OpenAI's models use QuickGELU: name the architecture with its suffix, as in "
        "open_clip:ViT-B-16-quickgelu."
    )


def conversion(file: Path, converted: Path) -> str:
    """Return one line of Python code that writes the weights of a TorchScript archive to a file."""
    return (
        f"import torch; weights = torch.jit.load({str(file)!r}, map_location='cpu').state_dict(); "
        f"torch.save({{k: v for k, v in weights.items() if k not in {_NOT_WEIGHTS}}}, "
        f"{str(converted)!r})"
    )
