"""Cost of explanations on a GPU: the two-path walk against encode_image, in one run.

For each cell (model, size, batch, type, eager or compiled), the time, the images per second and the
peak memory of both are measured; in float32 eager mode also those of the published structure with
attention matrices in memory (`published.py`). If a cell does not fit into memory, larger batches of
it are skipped. No cell starts after `--budget` seconds. The JSON file is written after every cell,
and `--resume FILE` continues from the results of another run.

Usage: python benchmarks/gpu.py --out gpu.json [--resume earlier.json] [--budget 540] [--models B,L]
       python benchmarks/gpu.py --device cpu --quick      # does it run at all
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_models import MODELS, TYPES, build, patch_of, set_size
from gpu_report import report
from published import materialised_two_paths
from timing import machine, median_ratio, take_turns
from torch import Tensor, nn

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.batch_splitting import is_out_of_memory
from clip_surgery.surgery.walk import walk_two_paths

EAGER, COMPILED = "eager", "compiled"
OUT_OF_MEMORY = "out of memory"

Call = Callable[[Tensor], Any]
Calls = tuple[Call, Call]


class Cell(NamedTuple):
    """One setting to measure. `px` is rounded down to whole patches."""

    model: str
    px: int
    batch: int
    type: str
    mode: str


def main(arguments: list[str] | None = None) -> None:
    options = read_options(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("No GPU here. To see that it runs: python benchmarks/gpu.py --device cpu --quick")
        return
    torch.set_float32_matmul_precision("high" if options.tf32 else "highest")
    end = time.monotonic() + options.budget
    rows = read_rows(options.resume)
    done = {tuple(row[field] for field in Cell._fields) for row in rows}
    full: set[Cell] = set()
    kept: dict[Cell, Calls] = {}
    unmeasured = 0
    for cell, model in models_for(options, done, end):
        any_batch = cell._replace(batch=0)
        if model is None:
            unmeasured += 1
            continue
        if any_batch in full:
            row = {**cell._asdict(), "error": OUT_OF_MEMORY}
        else:
            row = measure(cell, model, options, kept)
        if row.get("error") == OUT_OF_MEMORY:
            full.add(any_batch)
        rows.append(row)
        write_rows(options.out, rows, options)
    print(f"Machine: {where(options)}\n")
    print(report(rows))
    if unmeasured:
        print(f"\n{unmeasured} cells left when the budget of {options.budget:.0f} s was over.")


def models_for(
    options: argparse.Namespace, done: set[tuple[Any, ...]], end: float
) -> Iterator[tuple[Cell, nn.Module | None]]:
    """Yield every cell that is not done, with its model, or None when the time is over."""
    for name, kind in product(options.models, options.types):
        model = None
        for size, mode, batch in product(options.sizes, options.modes, options.batches):
            patch = patch_of(name)
            cell = Cell(name, size // patch * patch, batch, kind, mode)
            if tuple(cell) in done:
                continue
            if time.monotonic() > end:
                yield cell, None
                continue
            if model is None:
                model = build(name).to(options.device, TYPES[kind])
            set_size(model, cell.px, patch)
            yield cell, model
        del model
        free()


def measure(
    cell: Cell, model: Any, options: argparse.Namespace, kept: dict[Cell, Calls]
) -> dict[str, Any]:
    """Return one row: milliseconds per image and peak memory of each call, or why it failed."""
    free()
    row: dict[str, Any] = dict(cell._asdict())
    try:
        pixels = torch.randn(cell.batch, 3, cell.px, cell.px).to(options.device, TYPES[cell.type])
        with torch.no_grad():
            plain, two = calls_of(cell, model, options, kept)
            row |= timed({"plain": partial(plain, pixels), "two": partial(two, pixels)}, options)
            if cell.type == "fp32" and cell.mode == EAGER:
                row |= published(model, two, pixels, options)
    except RuntimeError as error:  # of a kernel or a compiler: the other cells can still be had
        message = OUT_OF_MEMORY if is_out_of_memory(error) else str(error).strip().split("\n")[0]
        row["error"] = message[:80] or type(error).__name__
    return row


def calls_of(cell: Cell, model: Any, options: argparse.Namespace, kept: dict[Cell, Calls]) -> Calls:
    """Return encode_image and the two-path walk, compiled once for all batches of a size."""
    tower = wrap_backbone(model).tower

    def two_paths(pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = walk_two_paths(tower, pixels)
        return features.image, features.patches

    if cell.mode == EAGER:
        return model.encode_image, two_paths
    any_batch = cell._replace(batch=0)
    if any_batch not in kept:
        torch.compiler.reset()
        kept.clear()
        kept[any_batch] = (
            torch.compile(model.encode_image, backend=options.backend),
            torch.compile(two_paths, backend=options.backend, fullgraph=True),
        )
    return kept[any_batch]


def published(model: Any, two: Call, pixels: Tensor, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the published structure and the walk. It may not fit where the walk does."""
    try:
        slow = partial(materialised_two_paths, model.visual)
        row = timed({"two": partial(two, pixels), "published": partial(slow, pixels)}, options)
        pairs = zip(two(pixels), slow(pixels), strict=True)
        row["differ"] = max(float((first - second).abs().max()) for first, second in pairs)
        return {key: value for key, value in row.items() if not key.startswith("two")}
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return {"published_error": OUT_OF_MEMORY}


def timed(calls: dict[str, Callable[[], object]], options: argparse.Namespace) -> dict[str, Any]:
    """Return milliseconds per batch and peak MiB of each call, and the ratios to the first."""
    cuda = options.device.startswith("cuda")

    def run(call: Callable[[], object]) -> None:
        call()
        if cuda:
            torch.cuda.synchronize()

    row: dict[str, Any] = {}
    ready = {name: partial(run, call) for name, call in calls.items()}
    for name, call in ready.items():
        call()  # compiles, chooses kernels
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            call()
            row[f"{name}_mib"] = torch.cuda.max_memory_allocated() / 2**20
    seconds = take_turns(ready, repeats=options.repeats, budget=options.cell_seconds)
    first, *others = seconds
    for name, times in seconds.items():
        row[f"{name}_ms"] = 1000 * statistics.median(times)
    for name in others:
        row[f"{name}_by_{first}"] = median_ratio(seconds[name], seconds[first])
    return row


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def where(options: argparse.Namespace) -> str:
    """Describe the machine, with its GPU if the GPU was measured."""
    if not options.device.startswith("cuda"):
        return machine()
    name = torch.cuda.get_device_name(options.device)
    precision = "TF32" if options.tf32 else "no TF32"
    return f"{name}, CUDA {torch.version.cuda}, {precision}; {machine()}"


def read_rows(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def write_rows(path: Path | None, rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write all rows. The file is always complete, because the run may be killed at any time."""
    if path is None:
        return
    partial = path.with_suffix(".partial")
    content = {"machine": where(options), "rows": rows}
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(partial, path)


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="a tiny model, in seconds")
    parser.add_argument("--models", type=names, default=list(MODELS))
    parser.add_argument("--sizes", type=numbers, default=[224, 336, 512, 1024])
    parser.add_argument("--batches", type=numbers, default=[1, 8, 32, 64, 128, 256])
    parser.add_argument("--types", type=names, default=list(TYPES))
    parser.add_argument("--modes", type=names, default=[EAGER, COMPILED])
    parser.add_argument("--backend", default="inductor", help="torch.compile's")
    parser.add_argument("--tf32", action="store_true", help="let float32 products use TF32")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--cell-seconds", type=float, default=2.0)
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds in all")
    parser.add_argument("--out", type=Path, help="JSON file of all rows")
    parser.add_argument("--resume", type=Path, help="JSON file of an earlier run")
    if parser.parse_known_args(arguments)[0].quick:
        parser.set_defaults(
            models=["tiny"], types=["fp32", "bf16"], sizes=[32, 68], batches=[1, 3],
            repeats=3, backend="eager",
        )  # fmt: skip
    options = parser.parse_args(arguments)
    for given, known in ((options.models, {*MODELS, "tiny"}), (options.types, TYPES)):
        if set(given) - set(known):
            parser.error(f"expected some of {', '.join(sorted(known))}, but got {','.join(given)}")
    if set(options.modes) - {EAGER, COMPILED}:
        parser.error(f"expected --modes {EAGER},{COMPILED}, but got {','.join(options.modes)}")
    return options


def names(text: str) -> list[str]:
    return text.split(",")


def numbers(text: str) -> list[int]:
    return sorted(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
