"""Agreement of a GPU with the CPU: methods, tasks, evaluation, batch runs, missing memory.

The demo model and small random models of every kind of tower run on both devices, the GPU in
float32, bfloat16 and float16. The difference of two results is ||gpu - cpu|| / ||cpu||, or the
share of different entries for masks and other decisions. In float32 (without TF32) it must be below
1e-4. A greater difference is accepted if pixels that differ by one part in a million change the
result on the CPU nearly as much. In half precision, the GPU may be twice as far from the CPU's
float32 result as the CPU is in the same type, plus 0.02; methods that decide by thresholds are not
judged there.

Usage: python benchmarks/cuda_agreement.py --out agreement.json [--seconds 60]
       python benchmarks/cuda_agreement.py --device cpu --quick      # does it run at all
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
from agreement_runs import batch_checks, memory_checks
from agreement_values import Check, method_checks, task_checks

from clip_surgery.testing.tiny_backbones import REPRESENTATIVES, TINY_MODELS

HALF = ("bfloat16", "float16")


def main(arguments: list[str] | None = None) -> int:
    options = read_options(arguments)
    if options.device.startswith("cuda"):
        if not torch.cuda.is_available():
            print("No GPU here. To see that it runs: --device cpu --quick")
            return 2
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    start = time.monotonic()
    checks: list[Check] = []
    for check in all_checks(options):
        checks.append(check)
        if time.monotonic() - start > options.seconds:
            print(f"Stopped after {options.seconds:.0f} s: the remaining checks were not made.")
            break
    print(table(checks))
    failed = [check for check in checks if not check.passed]
    for check in failed:
        print(f"FAIL {check.model} {check.dtype} {check.name}: {check.difference:.1e} {check.note}")
    print(
        f"{len(checks)} checks on {device_name(options.device)}, torch {torch.__version__}, in "
        f"{time.monotonic() - start:.0f} s: {len(failed)} failed."
    )
    if options.out:
        rows = [{**vars(check), "passed": check.passed} for check in checks]
        content = {"device": device_name(options.device), "torch": torch.__version__}
        options.out.write_text(json.dumps({**content, "checks": rows}, indent=1), encoding="utf-8")
    return int(bool(failed))


def all_checks(options: argparse.Namespace) -> Iterator[Check]:
    """Make all checks, the most important first."""
    device = options.device
    with batch_checks(device, quick=options.quick) as batch:
        yield from task_checks(device, "float32")
        yield from method_checks("demo", device, "float32", options.methods)
        yield from memory_checks(device)
        yield from batch()
    types = HALF[:1] if options.quick else HALF
    for dtype in types:
        yield from task_checks(device, dtype)
        yield from method_checks("demo", device, dtype, options.methods)
    for tower in ("open_clip",) if options.quick else TINY_MODELS:
        yield from method_checks(tower, device, "float32", options.methods)
    for tower, dtype in product(() if options.quick else REPRESENTATIVES, types):
        yield from method_checks(tower, device, dtype, options.methods)


def table(checks: list[Check]) -> str:
    """Return one line per model, type and kind of check, with the largest difference."""
    groups: dict[tuple[str, str, str], list[Check]] = defaultdict(list)
    for check in checks:
        groups[check.model, check.dtype, check.kind].append(check)
    lines = [
        "| model | type | what | checks | largest difference | of | result |",
        "|---" * 7 + "|",
    ]
    for (model, dtype, kind), members in groups.items():
        judged = [check for check in members if check.tolerance is not None] or members
        worst = max(judged, key=lambda check: check.difference)
        failed = sum(not check.passed for check in members)
        result = f"FAIL ({failed})" if failed else "OK"
        lines.append(
            f"| {model} | {dtype} | {kind} | {len(members)} | {worst.difference:.1e} "
            f"| {worst.name} {worst.note} | {result} |"
        )
    return "\n".join(lines)


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--methods", type=lambda text: text.split(","), help="default: all")
    parser.add_argument("--quick", action="store_true", help="one tower, one half precision")
    parser.add_argument("--seconds", type=float, default=60.0, help="make no check after this time")
    parser.add_argument("--out", type=Path, help="JSON file of all checks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
