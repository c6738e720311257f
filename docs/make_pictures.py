"""Make the images of the documentation with the command line, from the demo scene.

python docs/make_pictures.py                  all of them, into docs/pictures
python docs/make_pictures.py words match      some of them
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

PICTURES = Path(__file__).parent / "pictures"
WIDEST = 1600  # pixels; pages show less
WEBP: dict[str, Any] = {"quality": 90, "method": 6, "use_sharp_yuv": True}
# File name in docs/pictures without its ending, and the command that writes it.
# {scene} is the image of the demo.
COMMANDS = {
    "methods": "compare {scene} dog rocket pizza --methods all",
    "architecture": "compare {scene} dog zebra rocket "
    "--methods similarity,clip_surgery(redundancy=none),clip_surgery",
    "attention": "inspect {scene} dog zebra --point 157,97",
    "points": "points {scene} dog zebra backpack --positives 1",
    "segments": "segment {scene} dog zebra train rocket backpack --background threshold",
    "tags": "tag {scene} dog zebra train rocket backpack pizza car clock",
    "presence": "explain {scene} dog pizza car --contrast presence",
    "words": "words {scene} 'a photo of a dog and a rocket.'",
    "interactions": "interactions {scene} 'a photo of a dog and a rocket.'",
    "decompose": "decompose {scene} dog",
    "heads_attention": "attention {scene}",
    "match": "match {scene} 'a photo of a dog' --rival 'a photo of a rocket'",
    "match_words": "match {scene} 'a photo of a dog and a rocket.'",
}


def main() -> None:
    names = sys.argv[1:] or ["demo", *COMMANDS]
    if unknown := set(names) - {"demo", *COMMANDS}:
        sys.exit(f"no image has the name {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        run("demo", folder=Path(folder) / "demo")
        scene = Path(folder) / "demo/scene.png"
        drawn = {"demo": scene.with_name("demo.png")}
        for name in names:
            if name in COMMANDS:
                out = Path(folder) / name
                words = [
                    word.replace("{scene}", str(scene)) for word in shlex.split(COMMANDS[name])
                ]
                run(*words, "--model", "demo", "--format", "png", folder=out)
                [drawn[name]] = out.glob("*.png")
            keep(drawn[name], name)


def run(*words: str, folder: Path) -> None:
    command = [sys.executable, "-m", "clip_surgery", *words, "--out", str(folder)]
    subprocess.run(command, check=True)


def keep(path: Path, name: str) -> None:
    """Keep an image small: no wider than a page, as WebP in full colour.

    A palette of 256 colours would be as small, but draws bands into colour bars and maps.
    """
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    small.save(PICTURES / f"{name}.webp", **WEBP)


if __name__ == "__main__":
    main()
