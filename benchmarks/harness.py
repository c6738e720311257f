"""Cost of an evaluation apart from the forward pass of the model: processor time by step.

ViT-B/16 with random weights at 224 px, one method and 20 class names. The images are generated
scenes, or JPEG files of 500 x 375 px with PNG masks as in Pascal VOC. The model uses one thread.
Processor time is measured, which depends little on other programs; every second is counted once.
All other steps together should take at most 15 % of the time of the forward pass.

    python benchmarks/harness.py
    python benchmarks/harness.py --journal --method similarity
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import open_clip
import torch
from PIL import Image, ImageFilter
from timing import machine

from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED, Dataset, Sample
from clip_surgery.evaluation.datasets.scenes import TRAINING_NOUNS, SceneDataset
from clip_surgery.evaluation.execution import run
from clip_surgery.evaluation.execution.evaluator import Evaluator
from clip_surgery.evaluation.execution.partial_result import PartialResult
from clip_surgery.evaluation.metrics.registry import METRICS
from clip_surgery.evaluation.protocols.protocol import Protocol
from clip_surgery.evaluation.protocols.registry import protocol_named
from clip_surgery.explainer import Explainer
from clip_surgery.loading import wrap
from clip_surgery.methods.registry import parse_methods

HEIGHT, WIDTH = 375, 500
IGNORED = 255  # in a VOC mask: the border of an object, which is not judged
NAMES = read_class_names("voc20").names
FORWARD, LOADING = "forward", "decoding, in the background"


def main() -> None:
    options = read_options()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    explainer = wrap(
        open_clip.create_model(options.arch, pretrained=None).eval(), batch_size=options.batch_size
    )
    print(f"Machine: {machine()}\n{options.arch}, {options.method}, {options.images} images.")
    with tempfile.TemporaryDirectory() as folder:
        scenes = SceneDataset(seed=1, count=options.images, names=TRAINING_NOUNS[:20])
        photographs = Photographs(Path(folder), options.images)
        for title, dataset, protocol in (
            ("scenes", scenes, protocol_named("scenes")),
            ("500 x 375 px", photographs, protocol_named("scenes")),
            ("500 x 375 px", photographs, protocol_named("paper_explainability")),
            ("500 x 375 px", photographs, protocol_named("paper_segmentation").changed(size=224)),
        ):
            if options.protocol in protocol.name:
                spent = profile(explainer, dataset, protocol, options)
                print_table(f"{title}, {protocol.name}", spent, options.images)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="ViT-B-16")
    parser.add_argument("--method", default="clip_surgery")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--protocol", default="", help="only those with this in their name")
    parser.add_argument("--journal", action="store_true", help="keep a journal")
    return parser.parse_args()


class Photographs:
    """JPEG files with the size and detail of photographs, each with two objects, as in VOC."""

    name, names = "photographs", NAMES

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        rng = np.random.default_rng(0)
        for index in range(count):
            image = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
            image = image.filter(ImageFilter.GaussianBlur(2))  # about 0.9 bits a pixel, as VOC
            image.save(folder / f"{index}.jpg", quality=92)
            mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
            for _ in range(2):
                top, left = rng.integers(0, HEIGHT // 2), rng.integers(0, WIDTH // 2)
                mask[top : top + 150, left : left + 180] = IGNORED
                mask[top + 3 : top + 147, left + 3 : left + 177] = rng.integers(1, len(NAMES) + 1)
            Image.fromarray(mask).save(folder / f"{index}.png")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        values = np.asarray(Image.open(self.folder / f"{index}.png")).astype(np.int64)
        mask = np.where(values == IGNORED, NOT_JUDGED, np.where(values == 0, NO_OBJECT, values - 1))
        return Sample(
            image=Image.open(self.folder / f"{index}.jpg").convert("RGB"),
            mask=mask,
            present=frozenset(NAMES[value] for value in np.unique(mask) if value >= 0),
        )


class Clock:
    """Processor seconds of this thread by name. A nested block is not counted for the outer one.

    For example, if a metric calls the model, the time of the model is counted as forward pass.
    """

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = time.thread_time()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count the time of this block, without that of named blocks within it."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = time.thread_time()
        if self._open:
            self.spent[self._open[-1]] += now - self._since
        self._since = now

    def watch(self, stack: ExitStack, owner: object, method: str, name: str) -> None:
        """Count calls of a method or function under this name, until the stack is closed."""
        original: Callable[..., object] = getattr(owner, method)

        def watched(*args: object, **settings: object) -> object:
            with self.of(name):
                return original(*args, **settings)

        stack.enter_context(mock.patch.object(owner, method, watched))


def profile(
    explainer: Explainer, dataset: Dataset, protocol: Protocol, options: argparse.Namespace
) -> dict[str, float]:
    """Return the processor seconds of each step."""
    methods = parse_methods(options.method)

    def evaluate(journal: str | None) -> None:
        run.evaluate(explainer, dataset, methods, protocol=protocol, journal=journal)

    evaluate(None)  # texts come from the cache from now on, and memory is warm
    clock = Clock()
    with ExitStack() as stack:
        journal = stack.enter_context(tempfile.TemporaryDirectory()) if options.journal else None
        clock.watch(stack, run, "fingerprint", "fingerprint of the weights, once")
        clock.watch(stack, Explainer, "explain_pixels", FORWARD)
        clock.watch(stack, Explainer, "explain_images", "framing, 8 bits to floats")
        clock.watch(stack, Explainer, "encode", "texts from the cache, once")
        clock.watch(stack, Evaluator, "evaluate", "inputs of metrics")
        clock.watch(stack, PartialResult, "to_bytes", "states to bytes")
        clock.watch(stack, PartialResult, "merge", "merging parts")
        for name in protocol.metrics:
            clock.watch(stack, METRICS[name], "update", f"metric {name}")
        start = time.process_time()
        with clock.of("bookkeeping"):
            evaluate(journal)
        total = time.process_time() - start
    clock.spent[LOADING] = total - sum(clock.spent.values())
    return dict(clock.spent)


def print_table(title: str, spent: dict[str, float], image_count: int) -> None:
    forward = spent[FORWARD]
    print(f"\n{title}:\n\n| processor time | ms an image | % of the forward |\n|---|---|---|")
    for name, seconds in sorted(spent.items(), key=lambda entry: -entry[1]):
        print(f"| {name} | {1000 * seconds / image_count:.2f} | {100 * seconds / forward:.1f} |")
    rest = sum(spent.values()) - forward
    share = f"**{100 * rest / forward:.1f}**"
    print(
        f"| **all but the forward** | **{1000 * rest / image_count:.2f}** | {share} |", flush=True
    )


if __name__ == "__main__":
    main()
