"""Serve a page for the tests, in a separate process because Gradio leaves event loops open.

    python server.py RUNS

The program writes a line to the file RUNS whenever a model runs, prints the address of the page,
and ends when its standard input is closed. Images of more than a megapixel are refused, and the
segmenter returns the left half of an image for every object.
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
    """A lock that writes a line to a file each time it is acquired."""

    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()

    def __enter__(self):
        self.lock.acquire()
        with self.path.open("a") as file:
            file.write("run\n")

    def __exit__(self, *_):
        self.lock.release()


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
