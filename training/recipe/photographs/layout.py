"""Where photographs and sprites lie on a canvas: rectangles and order, random numbers only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILES = 4
"""Most photographs on a canvas."""
SPRITES = 2
"""Most sprites on a canvas."""
ZOOM = (0.4, 1.0)
"""Share of a photograph's area that a tile shows."""
WINDOW = 0.5
"""Side of the one photograph of a window layout, as a share of the canvas's."""

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """B canvases of up to K pieces, painted in order.

    active: (B, K), the piece is there. centre, half: (B, K, 2), x and y as a share of the canvas.
    zoom: (B, K), how much of the picture is shown, as a share of its largest fitting part's side.
    boxed: (B, K), the piece shows its object's box and no more. shift: (B, K, 2) in -1 to 1, where
    the part lies. angle: (B, K) radians. mirrored: (B, K).
    """

    active: Flags
    centre: Floats
    half: Floats
    zoom: Floats
    boxed: Flags
    shift: Floats
    angle: Floats
    mirrored: Flags


def windows(rng: np.random.Generator, count: int, grid: int) -> tuple[Layout, NDArray[np.int64]]:
    """One photograph of half the canvas's side each, on whole patches of a grid x grid canvas.

    Also which patches it covers: (count, (grid / 2) ** 2).
    """
    side = round(grid * WINDOW)
    corner = rng.integers(0, grid - side + 1, (count, 2))  # row, column
    centre = (corner[:, ::-1] + side / 2) / grid
    layout = _empty(rng, count, 1)
    layout.active[:] = True
    layout.centre[:, 0] = centre
    layout.half[:, 0] = side / grid / 2
    rows = corner[:, :1] + np.arange(side)  # (count, side)
    columns = corner[:, 1:] + np.arange(side)
    kept = (rows[:, :, None] * grid + columns[:, None, :]).reshape(count, -1)
    return layout, kept


def collages(rng: np.random.Generator, count: int) -> Layout:
    """One photograph, two halves, four quarters, or one with pasted objects on it."""
    layout = _empty(rng, count, TILES)
    kinds = rng.choice(4, count, p=(0.3, 0.2, 0.3, 0.2))
    for row, kind in enumerate(kinds):
        x, y = rng.uniform(0.35, 0.65, 2)
        if kind == 0:
            boxes = [(0.0, 0.0, 1.0, 1.0)]
        elif kind == 1:
            upright = rng.random() < 0.5
            boxes = [(0, 0, x, 1), (x, 0, 1, 1)] if upright else [(0, 0, 1, y), (0, y, 1, 1)]
        elif kind == 2:
            boxes = [(0, 0, x, y), (x, 0, 1, y), (0, y, x, 1), (x, y, 1, 1)]
        else:
            boxes = [(0.0, 0.0, 1.0, 1.0)]
            for _ in range(1 + int(rng.integers(2))):
                wide, high = rng.uniform(0.25, 0.55, 2)
                left, upper = rng.random() * (1 - wide), rng.random() * (1 - high)
                layout.boxed[row, len(boxes)] = True
                boxes.append((left, upper, left + wide, upper + high))
        corners = np.array(boxes, np.float32)
        layout.active[row, : len(boxes)] = True
        layout.centre[row, : len(boxes)] = (corners[:, :2] + corners[:, 2:]) / 2
        layout.half[row, : len(boxes)] = (corners[:, 2:] - corners[:, :2]) / 2
    return layout


def quarters(count: int) -> Layout:
    """Four whole photographs in exact quarters, nothing random: what measuring uses."""
    layout = _empty(np.random.default_rng(0), count, TILES)
    layout.active[:] = True
    layout.centre[:] = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    layout.half[:] = 0.25
    return _plain(layout)


def singles(count: int) -> Layout:
    """One whole photograph over the whole canvas, nothing random."""
    layout = _empty(np.random.default_rng(0), count, 1)
    layout.active[:] = True
    layout.centre[:] = layout.half[:] = 0.5
    return _plain(layout)


def sprites(rng: np.random.Generator, count: int, share: float) -> Layout:
    """Up to two small things anywhere on the canvas, on this share of the canvases."""
    layout = _empty(rng, count, SPRITES)
    having = rng.random(count) < share
    layout.active[:, 0] = having
    layout.active[:, 1] = having & (rng.random(count) < 0.5)
    half = rng.uniform(0.1, 0.22, (count, SPRITES, 1))
    layout.half[:] = half
    layout.centre[:] = half + rng.random((count, SPRITES, 2)) * (1 - 2 * half)
    layout.zoom[:] = 1
    layout.angle[:] = np.radians(rng.uniform(-16, 16, (count, SPRITES)))
    return layout


def _empty(rng: np.random.Generator, count: int, pieces: int) -> Layout:
    return Layout(
        active=np.zeros((count, pieces), np.bool_),
        centre=np.zeros((count, pieces, 2), np.float32),
        half=np.ones((count, pieces, 2), np.float32),
        zoom=np.sqrt(rng.uniform(*ZOOM, (count, pieces))).astype(np.float32),
        boxed=np.zeros((count, pieces), np.bool_),
        shift=rng.uniform(-1, 1, (count, pieces, 2)).astype(np.float32),
        angle=np.zeros((count, pieces), np.float32),
        mirrored=rng.random((count, pieces)) < 0.5,
    )


def _plain(layout: Layout) -> Layout:
    layout.zoom[:] = 1
    layout.shift[:] = 0
    layout.mirrored[:] = False
    return layout
