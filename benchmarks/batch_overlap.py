"""Rows per second of one batch worker before and after a change, and its work besides the model.

    OMP_NUM_THREADS=1 python benchmarks/batch_overlap.py --before ../older/src

JPEG files of 480 x 360 px, the demo model, all tasks, torch with one thread. Each version runs in a
process of its own; the processes take turns, and the minimum of all rounds is shown, because other
programs disturb single rounds. Three times are measured for each number of labels:

- wall time per row: decoding, the model and tasks overlap as far as there are free cores;
- processor time per row, of all threads, which other programs hardly change;
- both with a stand-in for a device: the explanations are known, and the model only waits for some
  milliseconds per image without using the processor. The processor time is then all work of the
  host, and the wall time shows whether it overlaps with the device.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
SCENE_LABELS = ("dog", "car", "boat", "tree", "clock")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", help="folder src of the version to compare with")
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 80])
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device-ms", type=float, default=20.0, help="stand-in, per image")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve[0]), int(options.serve[1]), options.device_ms)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_images(folder, options.images)
        print("| labels | version | rows/s | CPU ms/row | device: ms/row | device: CPU ms/row |")
        print("| --- " * 6 + "|")
        for labels in options.labels:
            show(folder, labels, options)


def show(folder: Path, labels: int, options: argparse.Namespace) -> None:
    """Print the times of each version for a number of labels."""
    sources = {"before": options.before} if options.before else {}
    sources["after"] = SOURCE
    workers = {name: start(source, folder, labels, options) for name, source in sources.items()}
    best: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for name, worker in workers.items():
            times = ask(worker)
            best[name] = [min(pair) for pair in zip(best.get(name, times), times, strict=True)]
    for name, (wall, processor, device_wall, device_processor) in best.items():
        print(
            f"| {labels} | {name} | {1 / wall:.1f} | {1000 * processor:.1f} "
            f"| {1000 * device_wall:.1f} | {1000 * device_processor:.1f} |",
            flush=True,
        )
    for worker in workers.values():
        worker.communicate("")


def start(
    source: str, folder: Path, labels: int, options: argparse.Namespace
) -> subprocess.Popen[str]:
    """Start a process that measures the version in a folder."""
    command = [sys.executable, __file__, "--device-ms", str(options.device_ms)]
    return subprocess.Popen(
        [*command, "--serve", str(folder), str(labels)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )


def ask(worker: subprocess.Popen[str]) -> list[float]:
    """Let a process measure one round, and return its four times in seconds per row."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return [float(value) for value in worker.stdout.readline().split()]


def draw_images(folder: Path, count: int) -> None:
    """Write scenes as JPEG files."""
    from clip_surgery.evaluation.datasets.scenes import SceneDataset

    for index, scene in enumerate(SceneDataset(seed=11, count=count)):
        scene.image.resize((480, 360)).save(folder / f"{index:05}.jpg", quality=90)


def serve(folder: Path, labels: int, device_ms: float) -> None:
    """Measure one round for each line of the standard input."""
    import torch

    from clip_surgery.apps.batch import worker as module
    from clip_surgery.apps.batch.job import Job
    from clip_surgery.apps.batch.sources import open_source
    from clip_surgery.evaluation.datasets.class_names import read_class_names
    from clip_surgery.explainer import Explainer
    from clip_surgery.loading import load

    torch.set_num_threads(1)
    names = SCENE_LABELS if labels <= 5 else read_class_names("coco80").names[:labels]
    source = open_source([str(folder)])
    job = Job(
        source=source,
        texts=tuple(names),
        load=partial(load, "demo", vocabulary="common"),
        shard_size=len(source),
    )
    # The names before version 0.2 are those on the right.
    worker_class = getattr(module, "ShardWorker", None) or module.Worker
    request_class = getattr(module, "ShardRequest", None) or module.Order
    worker = worker_class.start(job, cores=1)
    compute = getattr(worker, "compute", None) or worker.make
    explain, known = Explainer.explain_images, {}

    def remember(self, images, texts):
        result = explain(self, images, texts)
        known[tuple(image.name for image in images)] = result
        return result

    def wait_for_device(self, images, texts):
        time.sleep(device_ms / 1000 * len(images))
        return known[tuple(image.name for image in images)]

    def per_row() -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as rows:
            wall, processor = time.perf_counter(), time.process_time()
            compute(request_class(shard=0, folder=Path(rows), key="key"))
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
        return wall / len(source), processor / len(source)

    for _ in sys.stdin:
        Explainer.explain_images = remember
        whole = per_row()
        Explainer.explain_images = wait_for_device
        print(*whole, *per_row(), flush=True)


if __name__ == "__main__":
    main()
