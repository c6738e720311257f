"""Batch runs on two devices, and a GPU with little memory, for `cuda_agreement.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from agreement_values import TEXTS, TOLERANCE, Check, difference, explainer_of

from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.framing import FramingRule

LARGE = 384
"""Side in px of images that need much memory."""
MANY = 64
SPARE = 3
"""How many images fit into the memory that is left."""


@contextmanager
def batch_checks(device: str, *, quick: bool) -> Iterator[Callable[[], Iterator[Check]]]:
    """Start the batch command on both devices; the function in the context compares the rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        count = 4 if quick else 40
        for index, sample in enumerate(SceneDataset(seed=6, count=count)):
            sample.image.save(folder / "images" / f"{index:03}.png")
        runs = {where: _started(folder, where) for where in {"cpu", device}}

        def compare() -> Iterator[Check]:
            yield _compared(folder, runs, device, count)

        try:
            yield compare
        finally:
            for run in runs.values():
                if run.poll() is None:
                    run.kill()
                    run.communicate()


def _started(folder: Path, device: str) -> subprocess.Popen[str]:
    texts = [part for text in TEXTS for part in ("--text", text)]
    out = folder / device.replace(":", "-")
    options = {"--model": "demo", "--device": device, "--out": str(out), "--workers": "1"}
    options["--tasks"] = "scores,presence,maps"
    command = [sys.executable, "-m", "clip_surgery", "batch", str(folder / "images"), *texts]
    return subprocess.Popen(
        [*command, *(part for option in options.items() for part in option)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # As in this process: PyTorch's default is TF32 in convolutions.
        env={**os.environ, "TERM": "dumb", "NVIDIA_TF32_OVERRIDE": "0"},
    )


def _compared(
    folder: Path, runs: dict[str, subprocess.Popen[str]], device: str, count: int
) -> Check:
    check = Check(
        model="demo",
        dtype="float32",
        kind="batch command",
        name=f"{count} images",
        difference=float("inf"),
        tolerance=TOLERANCE["float32"],
    )
    for where, run in runs.items():
        output, _ = run.communicate()
        if run.returncode:
            return replace(check, note=f"(on {where}: {output.strip()[-200:]})")
    import pyarrow.parquet as pq

    rows = {where: pq.read_table(folder / where.replace(":", "-")).to_pylist() for where in runs}
    columns = [key for key, value in rows["cpu"][0].items() if _numbers(value) is not None]
    errors = [row["error"] for row in rows[device] if row.get("error")]
    if errors or len(rows[device]) != count or not columns:
        return replace(check, note=f"({len(rows[device])} rows; {errors[:1]})")
    values = {
        where: {
            f"{number} {column}": torch.from_numpy(_numbers(row[column]))
            for number, row in enumerate(found)
            for column in columns
        }
        for where, found in rows.items()
    }
    found = difference(values[device], values["cpu"])
    return replace(check, difference=found, note=f"(columns {', '.join(columns)})")


def _numbers(value: object) -> np.ndarray | None:
    """The value of a row as an array of floats, or None if it is something else."""
    if isinstance(value, bytes):
        return None
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return array if array.ndim else None


def memory_checks(device: str) -> Iterator[Check]:
    """Explain many large images with memory for a few only: the results must be the same."""
    explainer = replace(
        explainer_of("demo", device, "float32"),
        framing=FramingRule(size=LARGE),
        batch_size=MANY,
    )
    samples = [sample.image for sample in SceneDataset(seed=7, count=MANY)]
    few, on_gpu = samples[:SPARE], device.startswith("cuda")
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_reserved()
    explainer(few, TEXTS)
    check = Check(
        model="demo",
        dtype="float32",
        kind="little memory",
        name=f"{MANY} images of {LARGE} px",
        difference=float("inf"),
        tolerance=TOLERANCE["float32"],
    )
    if not on_gpu:
        samples = few  # nothing to run out of: only that the calls work
        expected = explainer(samples, TEXTS)
        actual = explainer(samples, TEXTS)
        note = "(no GPU: memory was not limited)"
        yield replace(check, difference=_distance(actual, expected), note=note)
        return
    limit = held + 1.3 * (torch.cuda.max_memory_reserved() - held) + 64 * 2**20
    expected = explainer(samples, TEXTS)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    before = torch.cuda.memory_stats()["num_ooms"]
    torch.cuda.set_per_process_memory_fraction(limit / total)
    try:
        actual = explainer(samples, TEXTS)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    times = torch.cuda.memory_stats()["num_ooms"] - before
    note = f"(limit {limit / 2**20:.0f} MiB, out of memory {times} times)"
    found = _distance(actual, expected) if times else float("inf")
    yield replace(check, difference=found, note=note)


def _distance(actual: object, expected: object) -> float:
    scores = [
        {str(index): maps for index, maps in enumerate(explanation.patch_scores)}
        for explanation in (actual, expected)
    ]
    return difference(*scores)
