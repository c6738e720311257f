"""Scenes composed per second on one core, for training and for evaluation.

Run `taskset -c 0 python benchmarks/scenes.py`.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

from clip_surgery.evaluation.datasets.scenes import TRAINING_NOUNS, SceneDataset, training_batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    count, size = options.count, options.size

    def arrays() -> None:
        training_batch(seed=1, start=0, count=count, size=size, names=TRAINING_NOUNS)

    def samples() -> None:
        for _ in SceneDataset(seed=1, count=count, size=size):
            pass

    print(f"Python {platform.python_version()}, {platform.machine()}, {size} px, {count} scenes\n")
    print("| path | scenes/s |\n| --- | --- |")
    print(f"| training_batch (arrays) | {per_second(arrays, count):.0f} |")
    print(f"| SceneDataset (samples) | {per_second(samples, count):.0f} |")


def per_second(work: Callable[[], None], count: int) -> float:
    """Return the best of three runs, after one run that fills the caches."""
    work()
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return count / best


if __name__ == "__main__":
    main()
