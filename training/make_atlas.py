"""Render the sprite atlas of the scenes from the Noto Color Emoji font, once.

Run `python training/make_atlas.py`. It writes `atlas.webp` (all sprites in a grid of cells, alpha
kept) and `atlas.json` (the nouns in order, their sizes) beside the scenes. The font is Debian's
fonts-noto-color-emoji, under the SIL OFL 1.1: see NOTICE-noto-emoji.txt.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nouns import EMOJI
from PIL import Image, ImageDraw, ImageFont

BITMAP_SIZE = 109
"""The one size at which the font has bitmaps."""
CELL = 72
HOME = Path(__file__).parents[1] / "src/clip_surgery/evaluation/datasets/scenes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--font", default="/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
    parser.add_argument("--out", type=Path, default=HOME)
    options = parser.parse_args()
    font = ImageFont.truetype(options.font, BITMAP_SIZE)
    write_atlas({noun: render(emoji, font) for noun, emoji in EMOJI.items()}, options.out)


def render(emoji: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One emoji as RGBA, cropped to what is not transparent, at most CELL pixels a side."""
    canvas = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(canvas).text((20, 20), emoji, font=font, embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    if box is None:
        raise SystemExit(f"the font has no picture for {emoji!r}")
    sprite = canvas.crop(box)
    scale = CELL / max(sprite.size)
    size = tuple(max(1, round(side * scale)) for side in sprite.size)
    premultiplied = sprite.convert("RGBa").resize(size, Image.Resampling.LANCZOS)
    return premultiplied.convert("RGBA")


def write_atlas(sprites: dict[str, Image.Image], out: Path) -> None:
    """Sprites in a square grid of cells, each at its cell's upper left corner."""
    columns = round(len(sprites) ** 0.5 + 0.5)
    rows = -(-len(sprites) // columns)
    atlas = Image.new("RGBA", (columns * CELL, rows * CELL))
    entries = []
    for index, (noun, sprite) in enumerate(sprites.items()):
        corner = (index % columns * CELL, index // columns * CELL)
        atlas.paste(sprite, corner)
        entries.append({"noun": noun, "size_hw": [sprite.height, sprite.width]})
    out.mkdir(parents=True, exist_ok=True)
    atlas.save(out / "atlas.webp", quality=90, alpha_quality=100, method=6)
    facts = {"cell": CELL, "columns": columns, "sprites": entries}
    (out / "atlas.json").write_text(json.dumps(facts, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
