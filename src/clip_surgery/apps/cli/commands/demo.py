"""`clip-surgery demo`: CLIP's own map beside CLIP Surgery's, offline, in seconds."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage

SCENE = Path(__file__).parent / "demo_scene"
PLAIN, SURGERY = "similarity", "clip_surgery"


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results.", metavar="FOLDER")
    ] = Path("out"),
    model: Annotated[
        str, typer.Option("--model", "-m", help="Which CLIP; the bundled one needs no network.")
    ] = "demo",
) -> None:
    """Explain a bundled scene: CLIP's own map beside CLIP Surgery's."""
    scene = read_scene()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be the folder for results ({error.strerror}).") from error
    texts = (*scene.objects, scene.absent)
    with console.status(f"loading {model}"):
        from clip_surgery.figures.comparison import comparison
        from clip_surgery.loading import load
        from clip_surgery.tasks.heatmaps import heatmaps

        explainer = load(model, method=PLAIN)
    with console.status("explaining"):
        features = explainer.encode(texts)
        plain = explainer.explain_images([scene.picture], features)
        surgery = explainer.with_method(SURGERY).explain_images([scene.picture], features)
        drawn = comparison(
            scene.picture,
            {"CLIP's own map": heatmaps(plain)[0], "CLIP Surgery": heatmaps(surgery)[0]},
            [*scene.objects, f"{scene.absent} (not there)"],
            heading="Each map is scaled on its own: what is not there looks as hot as what is.",
        )
    drawn.save(out / "demo.png")
    shutil.copyfile(SCENE / "scene.png", out / "scene.png")
    _show(scene, plain, surgery, out)


@dataclass(frozen=True, kw_only=True)
class DemoScene:
    """An image, the objects in it, where they are, and one that is not.

    Attributes:
        image: the scene.
        mask: (H, W) uint8, 0 for background, i + 1 for `objects[i]`.
        objects: what is in the image.
        absent: what is not.
    """

    picture: InputImage
    mask: NDArray[np.uint8]
    objects: tuple[str, ...]
    absent: str

    def hits(self, explanation: Explanation) -> list[bool]:
        """For each object, whether the peak of its map lies on it."""
        from clip_surgery.tasks.peaks import peaks

        found = peaks(explanation)[0][: len(self.objects)]
        return [
            peak is not None and self.mask[int(peak.y), int(peak.x)] == value
            for value, peak in enumerate(found, start=1)
        ]


def read_scene() -> DemoScene:
    """The scene that is part of the package."""
    import numpy as np
    from PIL import Image

    from clip_surgery.inputs.images import read_image

    facts = json.loads((SCENE / "facts.json").read_text(encoding="utf-8"))
    with Image.open(SCENE / "mask.png") as mask:
        return DemoScene(
            picture=read_image(SCENE / "scene.png", name="scene.png"),
            mask=np.array(mask),
            objects=tuple(facts["objects"]),
            absent=facts["absent"],
        )


def _show(scene: DemoScene, plain: Explanation, surgery: Explanation, out: Path) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("text")
    table.add_column("score", justify="right")
    table.add_column("CLIP's peak")
    table.add_column("CLIP Surgery's peak")
    scores = surgery.image_scores[0].tolist()
    hits = [scene.hits(plain), scene.hits(surgery)]
    for index, text in enumerate(scene.objects):
        places = ["[green]on it[/green]" if hit[index] else "beside it" for hit in hits]
        table.add_row(text, f"{scores[index]:.3f}", *places)
    table.add_row(scene.absent, f"{scores[-1]:.3f}", "(not in the image)", "")
    screen = console.results()
    screen.print(table)
    screen.print()
    console.result(f"wrote {out / 'demo.png'}")
    words = " ".join(scene.objects[:2])
    console.result(f"try   clip-surgery explain {out / 'scene.png'} {words} --model demo")
