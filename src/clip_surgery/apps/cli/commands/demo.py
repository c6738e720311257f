"""`clip-surgery demo`: maps of a bundled scene, without network, in seconds."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.output_options import OutFolder, Overwrite
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clip_surgery.explanation import Explanation
    from clip_surgery.figures.sheet import Sheet
    from clip_surgery.inputs.images import InputImage

SCENE = Path(__file__).parent / "demo_scene"
PLAIN, SURGERY = "similarity", "clip_surgery"
FIGURE, INPUT = "demo.png", "scene.png"
SOURCE = "demo"
"""The source that the figure records; see `shared.source_records`."""


def demo(
    out: OutFolder = Path("out"),
    model: Annotated[
        str, typer.Option("--model", "-m", help="CLIP model; the bundled demo needs no network.")
    ] = "demo",
    overwrite: Overwrite = False,
) -> None:
    """Explain a bundled scene, and draw CLIP's own maps beside those of CLIP Surgery."""
    from clip_surgery.apps.cli.shared.output_files import make_folder

    scene = read_scene()
    make_folder(out)
    if not overwrite:
        check_files_of_demo(out)
    texts = (*scene.objects, scene.absent)
    with console.status(f"loading {model}"):
        from clip_surgery.figures.comparison import comparison
        from clip_surgery.loading import load
        from clip_surgery.tasks.heatmaps import heatmaps

        explainer = load(model, method=PLAIN)
    with console.status("explaining"):
        features = explainer.encode(texts)
        plain = explainer.explain_images([scene.image], features)
        surgery = explainer.with_method(SURGERY).explain_images([scene.image], features)
        drawn = comparison(
            scene.image,
            {
                "CLIP's own map": heatmaps(plain)[0],
                "CLIP Surgery": heatmaps(surgery, contrast="presence")[0],
            },
            [*scene.objects, scene.absent],
            column_notes=[*([""] * len(scene.objects)), "not in the image"],
        )
    write_files(drawn, out)
    show_peaks(scene, plain, surgery)
    console.result("")
    console.result(f"wrote {out / FIGURE}")
    words = " ".join(scene.objects[:2])
    console.result(f"try   clip-surgery explain {out / INPUT} {words} --model demo")


def check_files_of_demo(folder: Path) -> None:
    """Refuse to replace files that an earlier demo did not write.

    Raises:
        InputError: if there is such a file.
    """
    from clip_surgery.apps.cli.shared.source_records import recorded_source

    figure, scene = folder / FIGURE, folder / INPUT
    is_ours = {
        figure: not figure.exists() or recorded_source(figure) == SOURCE,
        scene: not scene.exists() or (SCENE / "scene.png").read_bytes() == scene.read_bytes(),
    }
    for path, ours in is_ours.items():
        if not ours:
            raise InputError(
                f"{path}: there is a file of this name already that demo did not write; choose "
                "another --out, or replace it with --overwrite."
            )


def write_files(figure: Sheet, folder: Path) -> None:
    """Write the figure, and the scene as an image to go on with.

    Raises:
        InputError: if a file cannot be written.
    """
    from clip_surgery.apps.cli.shared.source_records import record_source
    from clip_surgery.storage.atomic_file import replacing_atomically

    try:
        with replacing_atomically(folder / FIGURE) as temporary:
            figure.save(temporary)
            record_source(temporary, SOURCE)
        with replacing_atomically(folder / INPUT) as temporary:
            shutil.copyfile(SCENE / "scene.png", temporary)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error}).") from error


@dataclass(frozen=True, kw_only=True)
class DemoScene:
    """An image with known objects.

    Attributes:
        image: the image.
        mask: (H, W) uint8, 0 for background, i + 1 for `objects[i]`.
        objects: names of the objects in the image.
        absent: name of an object that is not in the image.
    """

    image: InputImage
    mask: NDArray[np.uint8]
    objects: tuple[str, ...]
    absent: str

    def hits(self, explanation: Explanation) -> list[bool]:
        """Return for each object whether the maximum of its map lies on it."""
        from clip_surgery.tasks.peaks import peaks

        object_peaks = peaks(explanation)[0][: len(self.objects)]
        return [
            peak is not None and self.mask[int(peak.y), int(peak.x)] == value
            for value, peak in enumerate(object_peaks, start=1)
        ]


def read_scene() -> DemoScene:
    """Return the scene that is part of the package."""
    import numpy as np
    import PIL.Image

    from clip_surgery.inputs.images import read_image

    facts = json.loads((SCENE / "facts.json").read_text(encoding="utf-8"))
    with PIL.Image.open(SCENE / "mask.png") as mask:
        return DemoScene(
            image=read_image(SCENE / "scene.png", name="scene.png"),
            mask=np.array(mask),
            objects=tuple(facts["objects"]),
            absent=facts["absent"],
        )


def show_peaks(scene: DemoScene, plain: Explanation, surgery: Explanation) -> None:
    """Print for each text its score, and whether the maximum of its map lies on the object."""
    from clip_surgery.apps.cli.shared.tables import Number, show_table

    scores = surgery.image_scores[0].tolist()
    hits = zip(scene.hits(plain), scene.hits(surgery), strict=True)
    rows = [
        (text, f"{score:.3f}", *("on it" if is_hit else "beside it" for is_hit in both))
        for text, score, both in zip(scene.objects, scores, hits, strict=False)
    ]
    rows.append((scene.absent, f"{scores[-1]:.3f}", "(not in the image)", ""))
    show_table(["text", Number("score"), "CLIP's peak", "CLIP Surgery's peak"], rows)
