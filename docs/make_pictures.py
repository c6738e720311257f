"""Make the images of the documentation with the command line, from the demo scene.

python docs/make_pictures.py            all of them, into docs/pictures
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).parent / "pictures"
WIDEST = 1600  # pixels; pages show less
# File in docs/pictures, and the command that writes it; {scene} is the demo's image.
COMMANDS = {
    "methods.png": "compare {scene} dog rocket pizza --methods all",
    "architecture.png": "compare {scene} dog zebra rocket "
    "--methods similarity,clip_surgery(redundancy=none),clip_surgery",
    "attention.png": "inspect {scene} dog zebra --point 222,150",
    "points.png": "points {scene} dog rocket backpack --positives 1",
    "segments.png": "segment {scene} dog zebra train rocket backpack --background threshold",
    "tags.png": "tag {scene} dog zebra train rocket backpack pizza car clock",
    "presence.png": "explain {scene} dog pizza car --contrast presence",
    "words.png": "words {scene} 'a photo of a dog and a rocket.'",
    "interactions.png": "interactions {scene} 'a photo of a dog and a rocket.'",
    "decompose.png": "decompose {scene} dog",
    "heads_attention.png": "attention {scene}",
    "match.png": "match {scene} 'a photo of a dog' --rival 'a photo of a rocket'",
    "match_words.png": "match {scene} 'a photo of a dog and a rocket.'",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run("demo", folder=Path(folder) / "demo")
        scene = Path(folder) / "demo/scene.png"
        keep(scene, "scene.png")
        keep(scene.with_name("demo.png"), "demo.png")
        for name, command in COMMANDS.items():
            out = Path(folder) / name.removesuffix(".png")
            words = [word.replace("{scene}", str(scene)) for word in shlex.split(command)]
            run(*words, "--model", "demo", "--format", "png", folder=out)
            [picture] = out.glob("*.png")
            keep(picture, name)


def run(*words: str, folder: Path) -> None:
    command = [sys.executable, "-m", "clip_surgery", *words, "--out", str(folder)]
    subprocess.run(command, check=True)


def keep(path: Path, name: str) -> None:
    """Keep an image small: no wider than a page, 256 colours."""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    # Maximum coverage keeps the rare bright colours of the maps, which median cut loses.
    reduced = small.quantize(
        256, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE
    )
    reduced.save(PICTURES / name, optimize=True)


if __name__ == "__main__":
    main()
