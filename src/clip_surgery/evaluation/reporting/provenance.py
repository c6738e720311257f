"""Provenance: the software and the machine that numbers were computed with."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("clip-surgery", "torch", "open_clip_torch", "transformers", "numpy", "pillow")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


@cache
def source_commit(package: Path = Path(__file__).parents[2]) -> str | None:
    """Return the git commit that a package runs from, followed by "-dirty" if files were changed.

    Args:
        package: folder of the package.

    Returns:
        None if the package is not in the folder `src` of a git checkout, for example if it is
        installed in an environment. A repository that contains the environment is not used.
    """
    root = package.parents[1]
    if package.parent.name != "src" or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        process = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):  # git is missing or does not trust the checkout
        return None
    return process.stdout.strip() or None


@cache
def describe_machine() -> str:
    """Return system, processor, number of cores and accelerators, but no name of the machine."""
    parts = [f"{platform.system()} {platform.machine()}", f"{os.cpu_count()} x {_processor()}"]
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        parts += sorted({torch.cuda.get_device_name(index) for index in range(count)})
    return ", ".join(parts)


def _processor() -> str:
    """The model name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = [line.partition(":")[2] for line in text.splitlines() if line.startswith("model name")]
    return " ".join((names[0] if names else platform.processor() or "processor").split())
