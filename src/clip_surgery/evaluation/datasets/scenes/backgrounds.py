"""Sixteen procedural backgrounds, half with a horizon, all textured and random in colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clip_surgery.evaluation.datasets.scenes.canvas import Canvas, Pixels


@dataclass(frozen=True)
class Background:
    """A background.

    Attributes:
        place: words for captions, such as "on grass".
        paint: draws the background on a canvas. It returns the image and the height of the
            horizon, from 0 (top) to 1, or None without a horizon.
    """

    place: str
    paint: Callable[[Canvas], tuple[Pixels, float | None]]


def _sky(canvas: Canvas) -> tuple[Pixels, float | None]:
    image = canvas.fade(canvas.colour(80, 140, 215), canvas.colour(185, 215, 240))
    clouds = np.clip(canvas.noise("coarse") - canvas.between(0.0, 0.9), 0, 1.2)[..., None]
    image += (250 - image) * (clouds * 0.75)
    return image, None


def _sunset(canvas: Canvas) -> tuple[Pixels, float | None]:
    image = canvas.fade(canvas.colour(110, 60, 130), canvas.colour(250, 165, 80))
    return image + (canvas.noise("flat") * 12)[..., None], None


def _night(canvas: Canvas) -> tuple[Pixels, float | None]:
    image = canvas.fade(canvas.colour(12, 14, 45, 8), canvas.colour(40, 42, 90, 14))
    stars = np.clip(canvas.noise("white") - 2.5, 0, 0.6) * 330
    return image + (stars + canvas.noise("coarse") * 5)[..., None], None


def _brick(canvas: Canvas) -> tuple[Pixels, float | None]:
    rows, columns = canvas.between(7, 13), canvas.between(3, 6)
    v, u = canvas.down() * rows, canvas.across() * columns
    u = u + (np.floor(v) % 2) * 0.5
    mortar = (((v % 1) < 0.13) | ((u % 1) < 0.07)).astype(np.float32)
    shade = np.sin(np.floor(v) * 12.9 + np.floor(u) * 78.2) * 14
    image = canvas.fill(canvas.colour(165, 80, 62), shade, canvas.noise("fine") * 9)
    image += (canvas.colour(190, 182, 170, 10) - image) * mortar[..., None]
    return image, None


def _wood(canvas: Canvas) -> tuple[Pixels, float | None]:
    planks = canvas.between(4, 8)
    u = canvas.across() * planks
    seam = ((u % 1) < 0.06) * np.float32(-38)
    shade = np.sin(np.floor(u) * 37.7) * 14 + seam
    grain = canvas.noise("flat").T * 13
    return canvas.fill(canvas.colour(168, 118, 72), grain, shade.astype(np.float32)), None


def _tiles(canvas: Canvas) -> tuple[Pixels, float | None]:
    count = canvas.between(4, 8)
    v, u = canvas.down() * count, canvas.across() * count
    joint = ((v % 1) < 0.08) | ((u % 1) < 0.08)
    checker = ((np.floor(v) + np.floor(u)) % 2) * canvas.between(0, 60)
    fields = (checker - joint * 55).astype(np.float32)
    return canvas.fill(canvas.any_colour(110, 200), fields, canvas.noise("fine") * 5), None


def _carpet(canvas: Canvas) -> tuple[Pixels, float | None]:
    count = canvas.between(12, 40)
    weave = np.sin(canvas.down() * count) * np.sin(canvas.across() * count) * canvas.between(6, 26)
    return canvas.fill(canvas.any_colour(40, 200), weave, canvas.noise("white") * 8), None


def _wall(canvas: Canvas) -> tuple[Pixels, float | None]:
    light = (canvas.across() - 0.5) * canvas.between(-50, 50)
    light = light + (canvas.down() - 0.5) * canvas.between(-40, 40)
    return canvas.fill(canvas.any_colour(70, 235), light, canvas.noise("coarse") * 4), None


def _air(canvas: Canvas) -> Pixels:
    """Draw the part above a horizon: a clear, cloudy or evening sky."""
    kind = canvas.rng.random()
    if kind < 0.6:
        return _sky(canvas)[0]
    if kind < 0.8:
        return canvas.fade(canvas.colour(165, 175, 190), canvas.colour(215, 220, 225))
    return _sunset(canvas)[0]


def _ground(canvas: Canvas, lower: Pixels, low: float, high: float) -> tuple[Pixels, float | None]:
    horizon = canvas.between(low, high)
    return canvas.above(_air(canvas), lower, horizon), horizon


def _grass(canvas: Canvas) -> tuple[Pixels, float | None]:
    blades = canvas.noise("flat").T * 15
    lower = canvas.fill(canvas.colour(88, 150, 58), blades, canvas.noise("coarse") * 11)
    return _ground(canvas, lower, 0.1, 0.6)


def _water(canvas: Canvas) -> tuple[Pixels, float | None]:
    waves = np.sin(canvas.down() * canvas.between(40, 80) + canvas.noise("coarse") * 2) * 9
    lower = canvas.fill(canvas.colour(45, 115, 175), waves, canvas.noise("flat") * 11)
    return _ground(canvas, lower, 0.15, 0.6)


def _sand(canvas: Canvas) -> tuple[Pixels, float | None]:
    lower = canvas.fill(
        canvas.colour(216, 186, 130), canvas.noise("fine") * 8, canvas.noise("coarse") * 9
    )
    return _ground(canvas, lower, 0.1, 0.6)


def _snow(canvas: Canvas) -> tuple[Pixels, float | None]:
    lower = canvas.fill(
        canvas.colour(228, 234, 242, 6), canvas.noise("coarse") * 8, canvas.noise("white") * 3
    )
    return _ground(canvas, lower, 0.1, 0.6)


def _road(canvas: Canvas) -> tuple[Pixels, float | None]:
    lower = canvas.fill(canvas.colour(98, 98, 104, 10), canvas.noise("white") * 8)
    row, thick = canvas.between(0.65, 0.9), 0.02
    dash = (np.sin(canvas.across() * 30 + canvas.between(0, 6)) > -0.2) & (
        np.abs(canvas.down() - row) < thick
    )
    lower += (canvas.colour(235, 215, 120, 8) - lower) * dash.astype(np.float32)[..., None]
    return _ground(canvas, lower, 0.25, 0.6)


def _forest(canvas: Canvas) -> tuple[Pixels, float | None]:
    trunks = np.sin(canvas.across() * canvas.between(40, 90) + canvas.noise("coarse")) * 20
    upper = canvas.fill(canvas.colour(48, 78, 40), trunks, canvas.noise("fine") * 13)
    lower = canvas.fill(canvas.colour(96, 92, 48), canvas.noise("fine") * 11)
    horizon = canvas.between(0.4, 0.75)
    return canvas.above(upper, lower, horizon), horizon


def _mountains(canvas: Canvas) -> tuple[Pixels, float | None]:
    image = _air(canvas)
    ridge = 0.4 + canvas.noise("coarse")[:1] * 0.13
    rock = canvas.fill(canvas.colour(112, 112, 128), canvas.noise("fine") * 11)
    image = np.where((canvas.down() > ridge)[..., None], rock, image)
    lower = canvas.fill(canvas.colour(98, 132, 78), canvas.noise("coarse") * 10)
    horizon = canvas.between(0.55, 0.75)
    return canvas.above(image, lower, horizon), horizon


def _room(canvas: Canvas) -> tuple[Pixels, float | None]:
    upper = canvas.fill(canvas.any_colour(130, 235), canvas.noise("coarse") * 4)
    boards = np.sin(canvas.down() * canvas.between(40, 80)) * 7
    lower = canvas.fill(canvas.colour(140, 98, 66), boards, canvas.noise("flat") * 9)
    horizon = canvas.between(0.45, 0.75)
    return canvas.above(upper, lower, horizon), horizon


BACKGROUNDS: dict[str, Background] = {
    "sky": Background("in the sky", _sky),
    "sunset": Background("at sunset", _sunset),
    "night": Background("at night", _night),
    "brick": Background("on brick", _brick),
    "wood": Background("on wood", _wood),
    "tiles": Background("on tiles", _tiles),
    "carpet": Background("on a carpet", _carpet),
    "wall": Background("on a wall", _wall),
    "grass": Background("on grass", _grass),
    "water": Background("on water", _water),
    "sand": Background("on sand", _sand),
    "snow": Background("in the snow", _snow),
    "road": Background("on a road", _road),
    "forest": Background("in a forest", _forest),
    "mountains": Background("in the mountains", _mountains),
    "room": Background("in a room", _room),
}
"""Backgrounds by name; the last eight have a horizon."""
