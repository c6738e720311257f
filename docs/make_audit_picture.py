"""Make the picture of an audit in the documentation: the demo model with a planted shortcut.

python docs/make_audit_picture.py
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from torch import Tensor

import clip_surgery as cs
from clip_surgery.audits.html_report import html_report
from clip_surgery.audits.planted import context_direction, plant_shortcut
from clip_surgery.audits.run import audit
from clip_surgery.evaluation.datasets.scenes import BACKGROUNDS, compose
from clip_surgery.evaluation.datasets.scenes.canvas import Canvas

PICTURE = Path(__file__).parent / "pictures/audit.webp"
WEBP: dict[str, Any] = {"quality": 90, "method": 6, "use_sharp_yuv": True}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LABELS = ("boat", "dog", "cow", "car", "tree", "house", "clock", "penguin", "apple", "bus")
STRENGTH = 2.0
WIDTH = 1080


def main() -> None:
    explainer = cs.load("demo", templates="photo", batch_size=32)
    backbone = explainer.backbone
    water = [prepared(explainer, place("water", seed=1, number=n)) for n in range(8)]
    others = [
        prepared(explainer, place(name, seed=1, number=n))
        for name in BACKGROUNDS
        if name != "water"
        for n in range(2)
    ]
    direction = context_direction(backbone, water, others)
    boat = explainer.encode([LABELS[0]]).labels[0]
    planted = replace(
        explainer, backbone=plant_shortcut(backbone, direction, boat, STRENGTH), cache=None
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = write_images(Path(folder))
        report, regions = audit(planted, paths, LABELS, vocabulary=tuple(BACKGROUNDS))
        save_screenshot(html_report(planted, report, regions))


def write_images(folder: Path) -> list[Path]:
    """Write images of single objects, of water, and of one of each other background."""
    images = {
        f"object-{number}.png": compose(np.random.default_rng([0, number]), 96, LABELS, 1).pixels
        for number in range(12)
    }
    for name in BACKGROUNDS:
        for number in range(12 if name == "water" else 1):
            images[f"{name}-{number}.png"] = place(name, seed=100, number=number)
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / name)
    return [folder / name for name in images]


def place(name: str, *, seed: int, number: int) -> np.ndarray:
    """Return the pixels (96, 96, 3) of a background without objects."""
    painted, _ = BACKGROUNDS[name].paint(Canvas(np.random.default_rng([seed, number]), 96))
    return np.clip(painted, 0, 255).astype(np.uint8)


def prepared(explainer: cs.Explainer, pixels: np.ndarray) -> Tensor:
    """Return the normalised pixels (3, H, W) that the model reads."""
    return explainer.pixels(cs.read_image(pixels))[0]


def save_screenshot(html: str) -> None:
    """Save a report down to the end of its first finding."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.set_content(html)
        finding = page.locator("main article").first.bounding_box()
        area = {"x": 0, "y": 0, "width": WIDTH, "height": finding["y"] + finding["height"] + 8}
        with Image.open(BytesIO(page.screenshot(clip=area))) as image:
            image.convert("RGB").save(PICTURE, **WEBP)
        browser.close()


if __name__ == "__main__":
    main()
