"""A folder of images with COCO's instances JSON: polygons or run lengths of any categories.

Overlapping shapes are treated as in COCO itself: the smaller one is in front, and pixels of a crowd
that no other shape covers are not judged (see `coco/shapes.py`).
"""

from __future__ import annotations

from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.coco.annotated_files import AnnotatedFiles
from clip_surgery.evaluation.datasets.coco.annotations import (
    named_categories,
    read_annotated_images,
    read_content,
)
from clip_surgery.evaluation.datasets.coco.shapes import check_pycocotools
from clip_surgery.evaluation.datasets.files.folder_layout import Layout


class FolderOfInstances(AnnotatedFiles):
    """The images in the folder `images` that a JSON lists, with its categories in the order of ids.

    Args:
        root: the folder.
        annotations: name of the JSON, relative to the folder.

    Raises:
        InputError: if a part is missing, or the JSON is not COCO's instances JSON.
        MissingExtraError: if pycocotools is not installed.
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
        category_names = named_categories(content["categories"], path)
        names = tuple(category_names.values())
        _check_unique(names, path)
        indices = {number: index for index, number in enumerate(category_names)}
        super().__init__(
            name="folder",
            classes=ClassNames(
                names=names,
                aliases=tuple((name,) for name in names),
                source=f"categories of {annotations}",
            ),
            images=base / "images",
            annotations=path,
            annotated_images=read_annotated_images(content, indices, path),
            settings={"annotations": annotations, "classes": len(names)},
        )


def _check_unique(names: tuple[str, ...], path: Path) -> None:
    """Check that there are names, each once."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not names or repeated:
        description = f"{repeated[0]!r} more than once" if repeated else "none"
        raise InputError(f"{path}: expected categories, each name once, but got {description}.")
