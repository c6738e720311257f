"""Short descriptions of an explanation: text for `print`, HTML with small maps for notebooks."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from clip_surgery.inputs.names import printable

if TYPE_CHECKING:
    from clip_surgery.explanation import Explanation

MAX_ROWS = 10
"""Number of images, and of texts for each image, that a description lists."""
MAX_LISTED = 5
"""Number of names that are listed in one line."""
_NAME_LENGTH = 40
_MAP_SIDE = 120  # pixels of a drawn map's longer side


def one_line(explanation: Explanation) -> str:
    """Return the numbers of images and texts, the grids, the method and the model in one line."""
    grids = dict.fromkeys(tuple(scores.shape[-2:]) for scores in explanation.patch_scores)
    shown = ", ".join(f"{rows} x {columns}" for rows, columns in list(grids)[:3])
    return (
        f"Explanation({_count(len(explanation), 'image')}, "
        f"{_count(len(explanation.texts), 'text')}, "
        f"grid {shown or '0 x 0'}{' and others' if len(grids) > 3 else ''} patches, "
        f"method {printable(explanation.method)}, backbone {_short(explanation.backbone)})"
    )


def summary(explanation: Explanation) -> str:
    """Return `one_line`, then for each text its best image score and the image that has it."""
    lines = [one_line(explanation)]
    if len(explanation):
        best, images = explanation.image_scores.detach().float().max(dim=0)
        for index, text in enumerate(explanation.texts[:MAX_ROWS]):
            image = explanation.images[int(images[index])]
            lines.append(f"  {_short(text)}: {float(best[index]):.3f} in {_short(image)}")
        lines += _omitted(len(explanation.texts), "text")
    return "\n".join(lines)


def notebook_html(explanation: Explanation) -> str:
    """Return a table of the images (rows) and texts (columns) with the maps as inline PNG images.

    The maps are drawn in grey at patch resolution, each from its lowest (black) to its highest
    value (white). Names and texts are escaped.
    """
    texts = explanation.texts[:MAX_ROWS]
    head = "".join(f"<th>{html.escape(_short(text))}</th>" for text in texts)
    rows = []
    for index in range(min(len(explanation), MAX_ROWS)):
        cells = "".join(
            f'<td><img alt="map" src="{_data_uri(scores)}"><br>{float(score):.3f}</td>'
            for scores, score in zip(
                explanation.patch_scores[index][:MAX_ROWS],
                explanation.image_scores[index],
                strict=False,
            )
        )
        rows.append(f"<tr><th>{html.escape(_short(explanation.images[index]))}</th>{cells}</tr>")
    notes = [
        *_omitted(len(explanation), "image"),
        *_omitted(len(explanation.texts), "text"),
    ]
    return (
        f"<p>{html.escape(one_line(explanation))}</p>"
        f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"
        + "".join(f"<p>{note.strip()}</p>" for note in notes)
    )


def listed(names: Sequence[str]) -> str:
    """Return the first names and the number of the others, in printable form."""
    rest = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return (", ".join(map(_short, names[:MAX_LISTED])) or "none") + rest


def _data_uri(scores: Tensor) -> str:
    """A map (rows, columns) as an inline PNG; a flat map or one that is not finite is black."""
    values = scores.detach().float().cpu().numpy()
    if values.size and np.isfinite(values).all() and values.max() > values.min():
        values = (values - values.min()) / (values.max() - values.min())
    else:
        values = np.zeros_like(values)
    drawing = Image.fromarray((255 * values).round().astype(np.uint8))
    scale = _MAP_SIDE / max(drawing.size)
    width, height = (max(1, round(side * scale)) for side in drawing.size)
    buffer = io.BytesIO()
    drawing.resize((width, height), Image.Resampling.BILINEAR).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _omitted(count: int, kind: str) -> list[str]:
    return [f"  and {_count(count - MAX_ROWS, f'more {kind}')}"] if count > MAX_ROWS else []


def _count(number: int, kind: str) -> str:
    return f"{number} {kind}{'' if number == 1 else 's'}"


def _short(name: str) -> str:
    """The end of a long name, which tells files of one folder apart."""
    shown = printable(name)
    return shown if len(shown) <= _NAME_LENGTH else f"...{shown[3 - _NAME_LENGTH :]}"
