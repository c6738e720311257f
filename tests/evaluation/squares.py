"""A data set of coloured rectangles for tests of `evaluate`, which can fail on purpose.

It is not in a test module, so that worker processes can import it together with the model.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np
from PIL import Image

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.dataset import Sample
from tests.towers import tiny_open_clip


class Squares:
    """Images of different shapes with one coloured rectangle each.

    bad: indices that cannot be read. log: a file to which each index is written that is read.
    deadly: an index that kills its process, the first time, or always if `once` is None. stuck: an
    index that takes a minute.
    """

    name = "squares"
    names = ("red", "green", "blue")

    def __init__(self, count=5, *, bad=(), log=None, deadly=None, once=None, stuck=None):
        self.count, self.bad, self.log = count, frozenset(bad), log
        self.deadly, self.once, self.stuck = deadly, once, stuck

    def __repr__(self):
        return f"Squares(count={self.count})"

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write(f"{index}\n")
        if index == self.stuck:
            time.sleep(60)
        if index == self.deadly and (self.once is None or not Path(self.once).exists()):
            if self.once is not None:
                Path(self.once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if index in self.bad:
            raise InputError(f"{index}.jpg: damaged or unsupported (broken data stream).")
        height, width = (40, 40) if index % 2 else (40, 64)
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 200, (height, width, 3), dtype=np.uint8)
        mask = np.full((height, width), -1, dtype=np.int64)
        colour = index % 3
        mask[8:24, 8:30] = colour
        pixels[mask == colour] = 255 * np.eye(3, dtype=np.uint8)[colour]
        name = self.names[colour]
        return Sample(image=Image.fromarray(pixels), mask=mask, present=frozenset({name}))


class NamedSquares(Squares):
    """With aliases and background words."""

    classes = ClassNames(
        names=Squares.names,
        aliases=(("red", "crimson"), ("green",), ("blue", "azure")),
        background=("grey", "noise"),
    )


def load_tiny(seed=0):
    """A tiny random model, the same in every process."""
    return cs.wrap(tiny_open_clip(seed=seed), templates="name", cache=False, batch_size=2)


def load_deadly(log):
    """Kill the process that loads a model, and write a mark to the log."""
    with open(log, "a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def reads(log):
    """The indices that were read, in order."""
    return [int(line) for line in Path(log).read_text().split()]


def numbers(reports):
    """Everything that must not depend on how the work was distributed."""
    return [
        (
            report.row,
            report.images,
            report.failures,
            {name: value for name, value in report.values.items() if name != "ms per image"},
        )
        for report in reports
    ]
