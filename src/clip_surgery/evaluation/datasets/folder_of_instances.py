"""A folder of pictures with COCO's JSON of instances: polygons or run lengths, any categories.

Shapes lie on each other as in the data set of COCO itself: the smaller one is in front, and what
is marked as a crowd is not judged where no other shape lies (`coco_shapes.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.coco_annotations import read_content, read_pictures
from clip_surgery.evaluation.datasets.coco_shapes import check_pycocotools, paint
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.datasets.layout import Layout
from clip_surgery.evaluation.datasets.mask_files import check_files, listed, masked_sample, position
from clip_surgery.evaluation.datasets.orientation import upright_mask
from clip_surgery.inputs.images import read_image


class FolderOfInstances:
    """The pictures that a JSON lists, below `images`, with its categories in the order of ids.

    A category is present where a shape of it is listed, also if others hide all of it.

    Args:
        root: the folder.
        annotations: the JSON below it.

    Raises:
        InputError: when a part is missing, or the JSON is not COCO's of instances.
        MissingExtraError: when pycocotools is not installed.
    """

    name = "folder"

    def __init__(self, root: str | Path, *, annotations: str = "instances.json") -> None:
        check_pycocotools()
        base = Path(root)
        Layout(
            dataset="a folder of pictures",
            source="images/NAME.jpg and COCO's JSON of instances",
            paths=("images", annotations),
        ).check(base)
        self.images, self.annotations = base / "images", base / annotations
        content = read_content(self.annotations)
        named = _named_categories(content["categories"], self.annotations)
        self.classes = ClassNames(
            names=tuple(named.values()),
            aliases=tuple((name,) for name in named.values()),
            source=f"categories of {annotations}",
        )
        indices = {number: index for index, number in enumerate(named)}
        self.pictures = read_pictures(content, indices, self.annotations)
        check_files(
            [self.images / picture.file_name for picture in self.pictures],
            f"{self.images}: pictures of {annotations}",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The categories."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self.pictures[position(index, len(self))]
        path = self.images / picture.file_name
        image = read_image(path).image
        painted = paint(picture.instances(), picture.size_hw, str(self.annotations))
        mask = upright_mask(painted, path)
        sample = masked_sample(image, mask, self.names, path)
        listed = {self.names[index] for index in picture.present}
        return Sample(image=image, mask=mask, present=sample.present | listed)

    def __repr__(self) -> str:
        pictures = listed([picture.file_name for picture in self.pictures])
        return f"FolderOfInstances(names=<{len(self.names)}>, pictures={pictures})"


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
