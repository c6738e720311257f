"""Drawing of backgrounds: random colours, ramps and noise fields of the size of a scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]
"""(size, size, 3) float32, about 0 to 255; not clipped."""


@dataclass(frozen=True)
class Canvas:
    """Random numbers, and fields of the size of the scene.

    Attributes:
        rng: random numbers.
        size: side of the scene in pixels.
    """

    rng: np.random.Generator
    size: int

    def noise(self, kind: str) -> NDArray[np.float32]:
        """Return a random window (size, size) of a fixed noise field, mean 0, deviation about 1."""
        field = _field(kind, self.size)
        top, left = self.rng.integers(0, field.shape[0] - self.size, 2)
        return field[top : top + self.size, left : left + self.size]

    def colour(self, red: float, green: float, blue: float, spread: float = 18.0) -> Pixels:
        """Return a random colour (3,) near the given one."""
        shift = self.rng.normal(0.0, spread, 3)
        return np.asarray((red + shift[0], green + shift[1], blue + shift[2]), np.float32)

    def any_colour(self, low: float, high: float) -> Pixels:
        """Return a random colour (3,) with each channel between low and high."""
        return self.rng.uniform(low, high, 3).astype(np.float32)

    def between(self, low: float, high: float) -> float:
        """Return a random number between low and high."""
        return low + (high - low) * float(self.rng.random())

    def down(self) -> NDArray[np.float32]:
        """Return (size, 1), from 0 at the top to 1 at the bottom."""
        return _ramp(self.size)[:, None]

    def across(self) -> NDArray[np.float32]:
        """Return (1, size), from 0 at the left to 1 at the right."""
        return _ramp(self.size)[None, :]

    def fill(self, colour: Pixels, *fields: NDArray[np.float32]) -> Pixels:
        """Return the colour everywhere, with the fields (size, size) added to all channels."""
        total = fields[0]
        for field in fields[1:]:
            total = total + field
        return np.broadcast_to(total, (self.size, self.size))[..., None] + colour

    def fade(self, top: Pixels, bottom: Pixels) -> Pixels:
        """Return (size, size, 3), from one colour at the top to another at the bottom."""
        column = top + (bottom - top) * self.down()
        return np.repeat(column[:, None], self.size, axis=1)

    def above(self, upper: Pixels, lower: Pixels, horizon: float) -> Pixels:
        """Copy the upper image into the lower one above the horizon (0 to 1), in place."""
        row = round(horizon * self.size)
        lower[:row] = upper[:row]
        return lower


_CELLS = {"coarse": (1 / 5, 1 / 5), "fine": (1 / 40, 1 / 40), "flat": (1 / 48, 1 / 5)}
"""Side of a noise cell (down, across) as a share of the scene's side."""


@lru_cache(maxsize=64)
def _field(kind: str, size: int) -> NDArray[np.float32]:
    """Return a fixed noise field three scenes wide: a small random grid, enlarged smoothly."""
    side = 3 * size
    key = sorted((*_CELLS, "white")).index(kind)
    rng = np.random.Generator(np.random.Philox(key=[key, 0x6E6F697365]))
    if kind == "white":
        return rng.standard_normal((side, side), np.float32)
    total = np.zeros((side, side), np.float32)
    for octave, weight in ((1, 1.0), (2, 0.5)):
        rows, columns = (max(2, round(3 / cell) * octave) for cell in _CELLS[kind])
        grid = rng.standard_normal((min(rows, side), min(columns, side)), np.float32)
        enlarged = Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC)
        total += weight * np.asarray(enlarged, np.float32)
    total -= total.mean()
    total /= total.std()
    return total


@lru_cache(maxsize=16)
def _ramp(size: int) -> NDArray[np.float32]:
    return np.linspace(0, 1, size, dtype=np.float32)
