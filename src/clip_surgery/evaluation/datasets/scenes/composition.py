"""Composition of one scene: background, objects, exact mask and caption, from random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clip_surgery.evaluation.datasets.scenes.backgrounds import BACKGROUNDS
from clip_surgery.evaluation.datasets.scenes.canvas import Canvas
from clip_surgery.evaluation.datasets.scenes.captions import Caption, caption
from clip_surgery.evaluation.datasets.scenes.sprites import Sprite, atlas

MOST_OBJECTS = 5
SIDES = {1: (26, 60), 2: (26, 58), 3: (24, 50), 4: (22, 42), 5: (20, 38)}
"""Range of the longest side of an object in pixels of a scene of 96, by number of objects."""
REFERENCE_SIZE = 96
MOST_DEGREES = 16.0
MOST_OVERLAP = 0.2
"""Maximum overlap of two boxes, as a share of the smaller one."""
AT_HOME = 0.35
"""Share of scenes whose background is typical of the first object."""
ATTEMPTS = 10

_AIRBORNE = frozenset(
    {"airplane", "helicopter", "rocket", "balloon", "butterfly", "bee", "parrot", "owl", "bat"}
    | {"eagle", "ghost", "moon", "star"}
)
_HOMES: dict[str, tuple[str, ...]] = {
    "water": ("boat", "ship", "canoe", "whale", "dolphin", "shark", "fish", "duck", "octopus"),
    "sand": ("crab", "umbrella", "palm tree", "cactus", "camel", "turtle", "snake"),
    "snow": ("penguin", "snowman", "bear", "rabbit", "fox"),
    "grass": ("cow", "sheep", "horse", "pig", "dog", "tractor", "sunflower", "tree", "soccer ball"),
    "road": ("car", "bus", "truck", "taxi", "bicycle", "motorcycle", "fire truck", "police car"),
    "forest": ("mushroom", "fox", "owl", "tree", "tent", "bear", "frog", "hedgehog", "koala"),
    "mountains": ("tent", "train", "house", "castle", "backpack", "eagle"),
    "sky": ("airplane", "helicopter", "parrot", "balloon", "bee", "butterfly", "flamingo"),
    "night": ("rocket", "owl", "bat", "moon", "star", "ghost", "house"),
    "wood": ("apple", "banana", "pizza", "burger", "donut", "cake", "coffee", "book", "camera"),
    "room": ("cat", "clock", "guitar", "laptop", "backpack", "book", "couch", "chair", "bed"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A composed scene.

    Attributes:
        pixels: (H, W, 3) uint8, RGB.
        mask: (H, W) int16, index of the name at each pixel, -1 without object.
        present: indices of the visible names, in the order of painting.
        background: name of the background.
        caption: a sentence about the scene.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.int16]
    present: tuple[int, ...]
    background: str
    caption: Caption


def compose(
    rng: np.random.Generator, size: int, names: Sequence[str], most_objects: int = MOST_OBJECTS
) -> Scene:
    """Compose a scene with 1 to `most_objects` different objects.

    Args:
        rng: random numbers.
        size: side of the scene in pixels.
        names: nouns to choose the objects from.
        most_objects: maximum number of objects.
    """
    wanted = 1 + int(rng.integers(min(most_objects, len(names))))
    chosen = rng.choice(len(names), wanted, replace=False).tolist()
    background = _background(rng, names[chosen[0]])
    canvas, horizon = BACKGROUNDS[background].paint(Canvas(rng, size))
    mask = np.full((size, size), -1, np.int16)
    boxes: list[tuple[int, int, int, int]] = []
    present: list[int] = []
    for index in chosen:
        drawn = _draw(rng, atlas()[names[index]], size, wanted)
        height, width = drawn.shape[:2]
        box = _place(rng, size, height, width, boxes, horizon, names[index] in _AIRBORNE)
        if box is None:
            continue
        _paint(rng, canvas, mask, drawn, box, index)
        boxes.append(box)
        present.append(index)
    present = [index for index in present if (mask == index).any()]
    light = rng.uniform(0.82, 1.12)
    pixels = np.clip(canvas * light, 0, 255).astype(np.uint8)
    sentence = caption(
        rng, {index: names[index] for index in present}, BACKGROUNDS[background].place
    )
    return Scene(
        pixels=pixels, mask=mask, present=tuple(present), background=background, caption=sentence
    )


def _background(rng: np.random.Generator, noun: str) -> str:
    homes = [name for name, nouns in _HOMES.items() if noun in nouns]
    at_home, pick = rng.random(2)
    among = homes if homes and at_home < AT_HOME else list(BACKGROUNDS)
    return among[int(pick * len(among))]


def _draw(rng: np.random.Generator, sprite: Sprite, size: int, wanted: int) -> NDArray[np.uint8]:
    """Scale, rotate and possibly mirror a sprite: (h, w, 4) uint8 with premultiplied alpha."""
    low, high = SIDES[wanted]
    side = (low + (high - low) * rng.random()) * size / REFERENCE_SIZE
    angle = math.radians(MOST_DEGREES * (2 * rng.random() - 1))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    scale = side / max(sprite.full.size)
    source = sprite.half if scale < 0.5 else sprite.full
    scale = side / max(source.size)
    cos, sin = math.cos(angle), math.sin(angle)
    width = source.width * scale * cos + source.height * scale * abs(sin)
    height = source.width * scale * abs(sin) + source.height * scale * cos
    columns, rows = max(1, math.ceil(width)), max(1, math.ceil(height))
    a, b = mirror * cos / scale, mirror * sin / scale
    d, e = -sin / scale, cos / scale
    x0 = source.width / 2 - a * columns / 2 - b * rows / 2
    y0 = source.height / 2 - d * columns / 2 - e * rows / 2
    turned = source.transform(
        (columns, rows), Image.Transform.AFFINE, (a, b, x0, d, e, y0), Image.Resampling.BILINEAR
    )
    return np.asarray(turned)


def _place(
    rng: np.random.Generator,
    size: int,
    height: int,
    width: int,
    boxes: list[tuple[int, int, int, int]],
    horizon: float | None,
    airborne: bool,
) -> tuple[int, int, int, int] | None:
    """Choose a box (top, left, bottom, right) with little overlap; None if all attempts fail."""
    if height > size or width > size:
        return None
    natural = rng.random() < 0.5
    for down, across in rng.random((ATTEMPTS, 2)):
        top = down * (size - height)
        if natural and horizon is not None:
            # The bottom is below the horizon, or the object is in the air.
            line = horizon * size
            top = down * line - height / 2 if airborne else line + down * (size - line) - height
            top = min(max(top, 0.0), float(size - height))
        y, x = int(top), int(across * (size - width + 1))
        box = (y, x, y + height, x + width)
        if all(overlap(box, other) <= MOST_OVERLAP for other in boxes):
            return box
    return None


def overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Return the common area of two boxes (top, left, bottom, right) over the smaller area."""
    rows = min(first[2], second[2]) - max(first[0], second[0])
    columns = min(first[3], second[3]) - max(first[1], second[1])
    if rows <= 0 or columns <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return rows * columns / min(areas)


def _paint(
    rng: np.random.Generator,
    canvas: NDArray[np.float32],
    mask: NDArray[np.int16],
    drawn: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    index: int,
) -> None:
    """Blend the drawn sprite into the canvas and write its index into the mask, both in place."""
    top, left, bottom, right = box
    window = canvas[top:bottom, left:right]
    alpha = drawn[..., 3:]
    gain = (rng.uniform(0.75, 1.15) * rng.uniform(0.93, 1.07, 3)).astype(np.float32)
    window *= (255 - alpha) * np.float32(1 / 255)
    window += drawn[..., :3] * gain
    mask[top:bottom, left:right][alpha[..., 0] > 127] = index
