"""Origin: the software and the machine that numbers come from."""

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
    """Versions of Python and of the packages that numbers depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


@cache
def source_commit(package: Path = Path(__file__).parents[2]) -> str | None:
    """The git commit that a package runs from, "-dirty" after it when files were changed.

    None when it does not lie in `src` of a checkout, as an installed one does not: a repository
    around an environment is not the package's.
    """
    root = package.parents[1]
    if package.parent.name != "src" or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):  # no git, or a checkout it does not trust
        return None
    return done.stdout.strip() or None


@cache
def describe_machine() -> str:
    """System, processor, cores and accelerators; never the machine's name."""
    parts = [f"{platform.system()} {platform.machine()}", f"{os.cpu_count()} x {_processor()}"]
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        parts += sorted({torch.cuda.get_device_name(index) for index in range(count)})
    return ", ".join(parts)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = [line.partition(":")[2] for line in text.splitlines() if line.startswith("model name")]
    return " ".join((names[0] if names else platform.processor() or "processor").split())
