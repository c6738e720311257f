"""The sprite atlas: one small image with alpha for each noun."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from io import BytesIO

from PIL import Image

_HOME = files(__package__)

TRAINING_NOUNS: tuple[str, ...] = (
    *("dog", "cat", "cow", "pig", "sheep", "horse", "elephant", "koala", "panda", "fox", "frog"),
    *("rabbit", "giraffe", "zebra", "penguin", "duck", "owl", "parrot", "flamingo", "turtle"),
    *("whale", "octopus", "crab", "butterfly", "bee", "tree", "cactus", "sunflower", "mushroom"),
    *("apple", "banana", "strawberry", "grapes", "watermelon", "pineapple", "avocado", "carrot"),
    *("pizza", "burger", "donut", "cake", "coffee", "car", "bus", "tractor", "train", "bicycle"),
    *("boat", "airplane", "helicopter", "rocket", "house", "tent", "clock", "camera", "laptop"),
    *("book", "scissors", "key", "umbrella", "backpack", "crown", "guitar", "soccer ball"),
)
"""The 64 nouns the demo model is trained and evaluated on: common, and easy to tell apart."""


@dataclass(frozen=True)
class Sprite:
    """The image of a noun at full and at half size, with premultiplied alpha (PIL mode RGBa)."""

    full: Image.Image
    half: Image.Image


@lru_cache(maxsize=1)
def atlas() -> dict[str, Sprite]:
    """Return all sprites by noun, decoded once per process."""
    description = json.loads((_HOME / "atlas.json").read_text(encoding="utf-8"))
    with Image.open(BytesIO((_HOME / "atlas.webp").read_bytes())) as opened:
        sheet = opened.convert("RGBA")
    cell, columns = description["cell"], description["columns"]
    sprites = {}
    for index, entry in enumerate(description["sprites"]):
        left, upper = index % columns * cell, index // columns * cell
        height, width = entry["size_hw"]
        full = sheet.crop((left, upper, left + width, upper + height)).convert("RGBa")
        sprites[entry["noun"]] = Sprite(full=full, half=full.reduce(2))
    return sprites


def _nouns() -> tuple[str, ...]:
    description = json.loads((_HOME / "atlas.json").read_text(encoding="utf-8"))
    return tuple(entry["noun"] for entry in description["sprites"])


ALL_NOUNS: tuple[str, ...] = _nouns()
"""All nouns of the atlas."""
