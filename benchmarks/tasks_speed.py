"""Speed of the tasks against one resize of the same maps, and against another version of the code.

    OMP_NUM_THREADS=1 python benchmarks/tasks_speed.py
    OMP_NUM_THREADS=1 python benchmarks/tasks_speed.py --before ../older/src

Processor time of one thread is measured, which depends little on other programs; the minimum over
rounds counts. Each version runs in a process of its own, and the processes take turns call by call.
The yardstick is one `F.interpolate` of the same maps to the size of the image in the same round.
Maps are smoothed noise. The image has 480 x 640 pixels and 14 x 19 patches, as for ViT-B/16.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from timing import machine
from torch.nn import functional as F

from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.tasks.boxes import boxes
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.points import points
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import segment
from clip_surgery.tasks.tags import tags

RESIZE_80, RESIZE_150 = "resize of 80 maps", "resize of 150 maps, 512 x 683"
# name, yardstick, number of rounds
CASES: tuple[tuple[str, str | None, int], ...] = (
    (RESIZE_80, None, 12),
    ("points, 80 labels", RESIZE_80, 12),
    ("boxes, 80 labels", RESIZE_80, 12),
    ("masks as run lengths, 80 labels", RESIZE_80, 12),
    ("all tasks of a batch row, 80 labels", RESIZE_80, 12),
    ("heatmaps, 80 labels", RESIZE_80, 12),
    ("heatmaps, 1,000 labels", RESIZE_80, 1),
    (RESIZE_150, None, 6),
    ("segmentation, 150 classes, 512 x 683", RESIZE_150, 6),
    ("tags, presence and peaks, 4,585 labels", None, 6),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="src folder of another version")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.worker:
        work()
        return
    here = Path(__file__).resolve().parents[1] / "src"
    sources = [here] if options.before is None else [options.before.resolve(), here]
    print(f"Machine: {machine()}\n")
    print_table(measure(sources), before=options.before is not None)


def measure(sources: Sequence[Path]) -> list[dict[str, float]]:
    """Return the least seconds of each case by name, for each version of the code."""
    processes = [start(source) for source in sources]
    best: list[dict[str, float]] = [{} for _ in sources]
    rounds = max(count for _, _, count in CASES)
    for number in range(rounds):
        for name, _, count in CASES:
            if number >= count:
                continue
            for process, seconds in zip(processes, best, strict=True):
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(name + "\n")
                process.stdin.flush()
                spent = float(process.stdout.readline())
                seconds[name] = min(seconds.get(name, spent), spent)
    for process in processes:
        process.communicate()
    return best


def start(source: Path) -> subprocess.Popen[str]:
    """Start a process that times cases with one version of the code."""
    return subprocess.Popen(
        [sys.executable, __file__, "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
    )


def work() -> None:
    """Read names of cases, write the processor seconds of one call each."""
    calls = prepare()
    for line in sys.stdin:
        call = calls[line.strip()]
        begin = time.thread_time()
        call()
        print(time.thread_time() - begin, flush=True)


def print_table(best: Sequence[dict[str, float]], *, before: bool) -> None:
    heads = ["before, ms", "after, ms", "before, resizes", "after, resizes"]
    print("| what |", " | ".join(heads if before else heads[1::2]), "|")
    print("|---|" + "---|" * (4 if before else 2))
    for name, yardstick, _ in CASES:
        cells = [f"{1000 * seconds[name]:.1f}" for seconds in best]
        for seconds in best:
            cells.append("" if yardstick is None else f"{seconds[name] / seconds[yardstick]:.2f}")
        print(f"| {name} |", " | ".join(cells), "|")


def explanation(count: int, size: Size) -> Explanation:
    """Return an explanation of smoothed noise for `count` texts."""
    framing = Framing.keep_ratio(size, short_side=224, multiple_of=16)
    grid = framing.frame.height // 16, framing.frame.width // 16
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, count, *grid, generator=generator)
    scores = F.avg_pool2d(F.pad(noise, (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    offsets = torch.randn(count, 1, 1, generator=generator)
    return Explanation(
        patch_scores=(scores,),
        similarity=(0.2 + 0.02 * scores + 0.02 * offsets,),
        image_scores=0.2 + 0.03 * torch.randn(1, count, generator=generator),
        reference_log_ratios=torch.randn(1, 2, count, generator=generator),
        texts=tuple(f"label {index}" for index in range(count)),
        framings=(framing,),
        images=("image",),
        method="noise",
        backbone="none",
    )


def prepare() -> dict[str, Callable[[], object]]:
    """Return the calls of this version of the code by the name of their case."""
    few, thousand, many = (explanation(count, Size(480, 640)) for count in (80, 1_000, 4_585))
    classes = explanation(150, Size(512, 683))
    batched = "texts" in boxes.__annotations__
    calls: dict[str, Callable[[], object]] = {
        RESIZE_80: lambda: resized(few),
        RESIZE_150: lambda: resized(classes),
        "heatmaps, 80 labels": lambda: heatmaps(few),
        "segmentation, 150 classes, 512 x 683": lambda: segment(classes),
    }
    calls |= (
        calls_of_this_version(few, thousand, many) if batched else calls_of_0_1(few, thousand, many)
    )
    for name, _, rounds in CASES:
        if rounds > 1:
            calls[name]()
    return calls


def resized(parts: Explanation) -> torch.Tensor:
    size = list(parts.framings[0].original)
    return F.interpolate(parts.patch_scores[0][None], size=size, mode="bilinear")


def calls_of_this_version(
    few: Explanation, thousand: Explanation, many: Explanation
) -> dict[str, Callable[[], object]]:
    from clip_surgery.apps.batch.job import TaskSettings
    from clip_surgery.apps.batch.rows import image_row
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.records.mask_files import encode_classes
    from clip_surgery.tasks.heatmaps import heatmap_tiles
    from clip_surgery.tasks.peaks import peaks

    image = InputImage(image=blank(), name="image")
    return {
        "points, 80 labels": lambda: points(few, rule="peaks"),
        "boxes, 80 labels": lambda: boxes(few),
        "masks as run lengths, 80 labels": lambda: encode_classes(segment(few)[0], 80),
        "all tasks of a batch row, 80 labels": lambda: image_row(
            image, few, TaskSettings(), None
        ),
        "heatmaps, 1,000 labels": lambda: [tile.first for tile in heatmap_tiles(thousand)],
        "tags, presence and peaks, 4,585 labels": lambda: (
            tags(many), presence(many), peaks(many),
        ),
    }  # fmt: skip


def calls_of_0_1(
    few: Explanation, thousand: Explanation, many: Explanation
) -> dict[str, Callable[[], object]]:
    """Return the calls of the version before tasks took whole explanations."""
    from clip_surgery.apps.batch.job import Asking
    from clip_surgery.apps.batch.rows import row
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.records.mask_files import encode_rle
    from clip_surgery.tasks.heatmaps import peaks

    def masks() -> object:
        numbers = segment(few)[0].numpy()
        return [encode_rle(numbers == index) for index in range(80) if (numbers == index).any()]

    image = InputImage(image=blank(), name="image")
    return {
        "points, 80 labels": lambda: [points(few, text, mode="peaks") for text in few.texts],
        "boxes, 80 labels": lambda: [boxes(few, text) for text in few.texts],
        "masks as run lengths, 80 labels": masks,
        "all tasks of a batch row, 80 labels": lambda: row(image, few, Asking(), None),
        "heatmaps, 1,000 labels": lambda: heatmaps(thousand),
        "tags, presence and peaks, 4,585 labels": lambda: (
            tags(many), presence(many), peaks(many),
        ),
    }  # fmt: skip


def blank() -> Image.Image:
    """Return the image that rows are made for."""
    return Image.new("RGB", (640, 480))


if __name__ == "__main__":
    main()
