"""Exported image towers in float32 and int8: quality on scenes, and time of one image.

Quality is that of the demo model: the evaluator runs the exported files as a method. Time is that
of the demo model and of ViT-B/16 with random weights, in PyTorch and onnxruntime, on one thread by
default, all alternating in one run.
Usage: python benchmarks/quantised.py [--scenes 200] [--models demo,ViT-B-16] [--threads 1]
       [--runtime web/node_modules/onnxruntime-web/dist]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip
import torch
from timing import machine, take_turns
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Tower
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.execution.run import evaluate
from clip_surgery.export.onnx_file import OUTPUTS, open_outputs, write_onnx
from clip_surgery.export.quantised import calibration_pixels, quantise
from clip_surgery.export.traced_tower import ImageTower, trace_tower
from clip_surgery.loading import load, wrap
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.surgery.walk import Features

MEASURES = ("pointing", "AP", "mSC", "presence AUROC image")


@dataclass(frozen=True, kw_only=True)
class Exported(ClipSurgery):
    """CLIP Surgery with features from an exported file."""

    backbone: Backbone = field(repr=False, compare=False)
    run: Callable[[Tensor], tuple[Tensor, ...]] = field(repr=False, compare=False)

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return the features of normalised pixels; the file normalises them itself."""
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (self.backbone.image_mean, self.backbone.image_std)
        )
        patches, image = self.run(pixels * std + mean)
        return Features(image=image, patches=patches, grid=tower.grid(pixels))


def files_of(explainer: Any, folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Write the exported tower in each form, and return the files by name."""
    program = trace_tower(ImageTower(explainer.backbone, explainer.method))
    files = {name: folder / f"{name.replace(' ', '-')}.onnx" for name in names}
    write_onnx(program, files["float32"])
    for name in names[1:]:
        files[name].write_bytes(files["float32"].read_bytes())
        scenes = SceneDataset(seed=77, count=32, size=320) if name == "int8 static" else ()
        quantise(files[name], images=calibration_pixels(explainer, [s.image for s in scenes]))
    return files


def quality(explainer: Any, files: dict[str, Path], count: int) -> list[str]:
    methods: dict[str, Any] = {"PyTorch": explainer.method}
    for name, path in files.items():
        methods[name] = Exported(backbone=explainer.backbone, run=open_outputs(path, OUTPUTS))
    reports = evaluate(explainer, SceneDataset(seed=2_000_003, count=count), methods)
    return [
        f"| {report.row} | {' | '.join(f'{report.values[name]:.1f}' for name in MEASURES)} |"
        for report in reports
    ]


def speed(name: str, explainer: Any, files: dict[str, Path], threads: int, budget: float) -> str:
    backbone, method = explainer.backbone, explainer.method
    side = backbone.image_size
    pixels = torch.rand(1, 3, side, side)
    calls: dict[str, Callable[[], object]] = {
        "PyTorch": lambda: method.features(backbone.tower, pixels)
    }
    for kind, path in files.items():
        run = open_outputs(path, OUTPUTS, threads=threads)
        calls[kind] = lambda run=run: run(pixels)
    with torch.no_grad():
        seconds = take_turns(calls, repeats=60, budget=budget)
    cells = [
        f"{1000 * min(times):.1f} ({1000 * statistics.median(times):.1f})"
        for times in seconds.values()
    ]
    sizes = ", ".join(f"{path.stat().st_size / 1e6:.1f}" for path in files.values())
    return f"| {name}, {side} px | {' | '.join(cells)} | {sizes} |"


PAGE = """<!doctype html><meta charset="utf-8"><script type="module">
import * as ort from "./ort.wasm.min.mjs";
const asked = new URLSearchParams(location.search);
const side = Number(asked.get("side"));
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(asked.get("model"));
const values = new Float32Array(3 * side * side).map(Math.random);
const pixels = new ort.Tensor("float32", values, [1, 3, side, side]);
window.once = async () => {
  const start = performance.now();
  await session.run({ pixels });
  return performance.now() - start;
};
await once();
</script>"""


def browser(name: str, explainer: Any, files: dict[str, Path], runtime: Path, runs: int) -> str:
    """Time of one image in Chromium with WebAssembly on one thread, in turns with PyTorch."""
    import http.server
    import threading
    from functools import partial

    from playwright.sync_api import sync_playwright

    folder, side = files["float32"].parent, explainer.backbone.image_size
    (folder / "index.html").write_text(PAGE)
    for path in runtime.glob("ort*wasm*.m*js"):
        (folder / path.name).write_bytes(path.read_bytes())
    core = "ort-wasm-simd-threaded.wasm"
    (folder / core).write_bytes((runtime / core).read_bytes())
    pixels = torch.rand(1, 3, side, side)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    seconds: dict[str, list[float]] = {"PyTorch": []}
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
        torch.no_grad(),
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        pages = {}
        for kind, path in files.items():
            pages[kind] = chromium.new_page()
            pages[kind].set_default_timeout(300_000)
            address = f"http://127.0.0.1:{server.server_address[1]}"
            pages[kind].goto(f"{address}/?model={path.name}&side={side}")
            pages[kind].wait_for_function("window.once")
        for _ in range(runs):
            start = time.perf_counter()
            explainer.method.features(explainer.backbone.tower, pixels)
            seconds["PyTorch"].append(time.perf_counter() - start)
            for kind, page in pages.items():
                seconds.setdefault(kind, []).append(page.evaluate("once()") / 1000)
        chromium.close()
        server.shutdown()
    cells = [f"{1000 * min(times):.1f}" for times in seconds.values()]
    ratios = [f"{min(times) / min(seconds['PyTorch']):.2f}" for times in seconds.values()]
    return f"| {name}, {side} px, Chromium | {' | '.join(cells)} | {', '.join(ratios)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--models", default="demo,ViT-B-16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=15)
    parser.add_argument("--runtime", type=Path, help="dist folder of onnxruntime-web, for Chromium")
    parser.add_argument("--runs", type=int, default=12, help="images in Chromium")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.models.split(","):
            folder = Path(temporary, name)
            folder.mkdir()
            if name == "demo":
                explainer: Any = load("demo", cache=False, batch_size=1)
                kinds: tuple[str, ...] = ("float32", "int8", "int8 static")
            else:
                torch.manual_seed(0)
                model = open_clip.create_model(name, pretrained=None).eval()
                explainer, kinds = wrap(model, cache=False, vocabulary=None), ("float32", "int8")
            files = files_of(explainer, folder, kinds)
            if name == "demo" and options.scenes:
                print("\n".join(quality(explainer, files, options.scenes)), flush=True)
            print(speed(name, explainer, files, options.threads, options.budget), flush=True)
            if options.runtime:
                print(browser(name, explainer, files, options.runtime, options.runs), flush=True)


if __name__ == "__main__":
    main()
