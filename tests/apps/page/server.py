"""A page that tests visit, in a process of its own, because Gradio leaves event loops open.

    python server.py RUNS

The process writes a line to the file RUNS whenever a model begins to run, and another if it is
stopped before its end. It prints its address, and ends with its stdin. Images over a megapixel are
refused, and the segmenter finds every object in the left half of the image.
"""

import sys
import threading
import time
from pathlib import Path

import torch

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.model_choices import ModelChoices
from clip_surgery.apps.page.serving import serving
from clip_surgery.apps.page.stopping import RequestStoppedError
from clip_surgery.loading import load
from clip_surgery.segmenters.segmenter import Candidates


class LeftHalf:
    """A segmenter that returns the left half of the image, after some seconds."""

    def __init__(self, seconds=0.5):
        self.seconds = seconds

    def __call__(self, image, prompts):
        time.sleep(self.seconds)
        mask = torch.zeros(1, *image.size, dtype=torch.bool)
        mask[..., : image.size.width // 2] = True
        return [Candidates(masks=mask, scores=torch.tensor([0.9])) for _ in prompts]


class CountingLock:
    """A lock that writes a line to a file when it is acquired, and when its work is stopped."""

    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()

    def __enter__(self):
        self.lock.acquire()
        self.write("run")

    def __exit__(self, kind, *_):
        if kind is RequestStoppedError:
            self.write("stopped")
        self.lock.release()

    def write(self, line):
        with self.path.open("a") as file:
            file.write(f"{line}\n")


def main():
    actions = Actions(
        models=ModelChoices.of([load("demo", vocabulary="common")]),
        segmenter=LeftHalf(),
        limits=Limits(megapixels=1, file_mb=1, texts=8, waiting=4),
        model_lock=CountingLock(Path(sys.argv[1])),
    )
    with serving(actions) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
