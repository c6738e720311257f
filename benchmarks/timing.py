"""Timing of calls that alternate in one run, so that other programs disturb all of them alike."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version


def seconds(call: Callable[[], object]) -> float:
    """Return the wall time of one call in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(
    baseline: Callable[[], object], candidate: Callable[[], object], *, repeats: int = 15
) -> tuple[float, float, float]:
    """Return the median seconds of both, and the median ratio candidate / baseline of pairs.

    The order within a pair alternates, because the second call often has a warmer cache.
    """
    baseline(), candidate()
    gc.collect()
    first, second, ratios = [], [], []
    for repeat in range(repeats):
        if repeat % 2:
            b, a = seconds(candidate), seconds(baseline)
        else:
            a, b = seconds(baseline), seconds(candidate)
        first.append(a)
        second.append(b)
        ratios.append(b / a)
    return statistics.median(first), statistics.median(second), statistics.median(ratios)


def take_turns(
    calls: Mapping[str, Callable[[], object]], *, repeats: int = 15, budget: float = float("inf")
) -> dict[str, list[float]]:
    """Return the seconds of each call by name, round after round in rotating order.

    Every call runs once before, as a warm-up. After `budget` seconds no further round starts, but
    there are at least three rounds.
    """
    names = list(calls)
    for name in names:
        calls[name]()
    gc.collect()
    found: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + budget
    for repeat in range(repeats):
        if repeat >= 3 and time.perf_counter() > end:
            break
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(seconds(calls[name]))
    return found


def median_ratio(candidate: list[float], baseline: list[float]) -> float:
    """Return the median of candidate / baseline over the rounds."""
    return statistics.median(a / b for a, b in zip(candidate, baseline, strict=True))


def machine() -> str:
    """Return one line that describes the machine."""
    import torch

    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    threads = torch.get_num_threads()
    return (
        f"{names[0]}, {threads} thread{'s' if threads > 1 else ''} of {len(names)} cores; "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"open_clip {version('open_clip_torch')}"
    )
