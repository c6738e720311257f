"""Rows per second of a batch run, growth of memory with the images, and the cost of a kill.

Generated images of 480 x 360 px as JPEG, the demo model, five texts, all tasks. The rate is that of
the second half of a run, when all workers have loaded their model; the total time is also given.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow.parquet
from timing import machine

from clip_surgery.apps.batch.job import Job
from clip_surgery.apps.batch.local_engine import LocalEngine, available_cores
from clip_surgery.apps.batch.ray_engine import RayEngine
from clip_surgery.apps.batch.run import Engine, Summary, run
from clip_surgery.apps.batch.sources import open_source
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.explainer import Explainer
from clip_surgery.loading import load

TEXTS = ("dog", "car", "boat", "tree", "clock")


def load_noting(folder: Path) -> Explainer:
    """Load the demo model, and create a file with the number of this process as its name."""
    (folder / str(os.getpid())).touch()
    return load("demo", vocabulary="common")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--without-ray", action="store_true")
    options = parser.parse_args()
    print(f"Machine: {machine()}; batch on {available_cores()} cores\n")
    with tempfile.TemporaryDirectory() as folder:
        image_folder = Path(folder, "images")
        image_folder.mkdir()
        for index, scene in enumerate(SceneDataset(seed=11, count=options.count)):
            path = image_folder / f"{index:05}.jpg"
            scene.image.resize((480, 360)).save(path, quality=90)
        paths = [str(path) for path in sorted(image_folder.iterdir())]
        show_rates(paths, Path(folder), with_ray=not options.without_ray)
        show_memory(paths, Path(folder))
        show_kills(paths, Path(folder))


def show_rates(paths: list[str], folder: Path, *, with_ray: bool) -> None:
    engines: dict[str, Engine] = {
        "local, 1 worker": LocalEngine(workers=1),
        "local, 2 workers": LocalEngine(workers=2),
    }
    if with_ray:
        engines["ray, 2 workers"] = RayEngine(workers=2, settings={"num_cpus": available_cores()})
    print("| engine | rows | rows/s | s in all |\n|---|---|---|---|")
    for name, engine in engines.items():
        times: list[tuple[float, int]] = []
        began = time.perf_counter()
        note(
            paths, folder / name, engine, lambda rows, rows_seen=times: rows_seen.append(now(rows))
        )
        whole = time.perf_counter() - began
        times = times[1:]  # what was there before: nothing
        middle = times[len(times) // 2]
        rows = sum(rows for at, rows in times if at > middle[0])
        rate = rows / (times[-1][0] - middle[0])
        print(f"| {name} | {len(paths)} | {rate:.1f} | {whole:.0f} |", flush=True)
    print()


def show_memory(paths: list[str], folder: Path) -> None:
    print("| images | peak MB of the worker | peak MB of the driver |\n|---|---|---|")
    for count in (len(paths) // 10, len(paths)):
        out = folder / f"memory {count}"
        peaks: dict[str, float] = {}

        def look(_: int, out: Path = out, peaks: dict[str, float] = peaks) -> None:
            for path in (out / "notes").iterdir():
                peaks["worker"] = max(peaks.get("worker", 0), peak_megabytes(path.name))

        note(paths[:count], out, LocalEngine(), look)
        driver = peak_megabytes(str(os.getpid()))
        print(f"| {count} | {peaks['worker']:.0f} | {driver:.0f} |", flush=True)
    print()


def show_kills(paths: list[str], folder: Path) -> None:
    out = folder / "kills"
    killed: list[str] = []
    rows_seen: list[int] = []

    def kill(rows: int) -> None:
        rows_seen.append(rows)
        if len(rows_seen) % 8 == 0 and len(killed) < 5:
            living = [path.name for path in (out / "notes").iterdir() if path.name not in killed]
            os.kill(int(living[-1]), signal.SIGKILL)
            killed.append(living[-1])

    summary = note(paths, out, LocalEngine(workers=2), kill)
    written_rows = pyarrow.parquet.read_table(out / "rows", columns=["path", "error"]).to_pylist()
    lost = len(set(paths) - {row["path"] for row in written_rows})
    repeated = len(written_rows) - len({row["path"] for row in written_rows})
    print("| workers killed | rows | lost | repeated | errors | s |\n|---|---|---|---|---|---|")
    rows = f"{summary.rows} | {lost} | {repeated} | {summary.errors} | {summary.seconds:.0f}"
    print(f"| {len(killed)} | {rows} |")


def note(paths: list[str], out: Path, engine: Engine, progress: Callable[[int], object]) -> Summary:
    """Run a job whose processes write their numbers to `out/notes`."""
    (out / "notes").mkdir(parents=True)
    recipe = partial(load_noting, out / "notes")
    job = Job(source=open_source(paths), texts=TEXTS, load=recipe, shard_size=10)
    return run(job, out / "rows", engine, on_progress=progress)


def now(rows: int) -> tuple[float, int]:
    return time.perf_counter(), rows


def peak_megabytes(pid: str) -> float:
    """Return the peak memory of a process in megabytes, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


if __name__ == "__main__":
    main()
