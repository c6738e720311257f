"""A folder of images with COCO's JSON of instances: polygons or run lengths, any categories.

Shapes lie on each other as in the data set of COCO itself: the smaller one is in front, and what
is marked as a crowd is not judged where no other shape lies (`coco_shapes.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.coco.annotated_files import AnnotatedFiles
from clip_surgery.evaluation.datasets.coco.annotations import read_annotated_images, read_content
from clip_surgery.evaluation.datasets.coco.shapes import check_pycocotools
from clip_surgery.evaluation.datasets.files.folder_layout import Layout


class FolderOfInstances(AnnotatedFiles):
    """The images that a JSON lists, below `images`, with its categories in the order of ids.

    Args:
        root: the folder.
        annotations: the JSON below it.

    Raises:
        InputError: when a part is missing, or the JSON is not COCO's of instances.
        MissingExtraError: when pycocotools is not installed.
    """

    def __init__(self, root: str | Path, *, annotations: str = "instances.json") -> None:
        check_pycocotools()
        base, path = Path(root), Path(root) / annotations
        Layout(
            dataset="a folder of images",
            source="images/NAME.jpg and COCO's JSON of instances",
            paths=("images", annotations),
        ).check(base)
        content = read_content(path)
        named = _named_categories(content["categories"], path)
        indices = {number: index for index, number in enumerate(named)}
        super().__init__(
            name="folder",
            classes=ClassNames(
                names=tuple(named.values()),
                aliases=tuple((name,) for name in named.values()),
                source=f"categories of {annotations}",
            ),
            images=base / "images",
            annotations=path,
            pictures=read_annotated_images(content, indices, path),
            settings={"annotations": annotations, "classes": len(named)},
        )


def _named_categories(categories: Iterable[Any], path: Path) -> dict[int, str]:
    """Category id to name, in the order of ids."""
    try:
        named = {int(category["id"]): str(category["name"]) for category in categories}
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: expected categories with an id and a name each.") from None
    names = list(named.values())
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        got = f"{twice[0]!r} more than once" if twice else "none"
        raise InputError(f"{path}: expected categories, each name once, but got {got}.")
    return {number: named[number] for number in sorted(named)}
