"""COCO for tags: which of 80 objects are in a picture; no masks.

A name is there when one object or crowd of it is annotated. The field's numbers are on 2014's
"val": 40,504 pictures, 367 of which have no object at all (2017's: 48 of 5,000). Some papers leave
those out (40,137), which changes every average precision a little: `without_objects=False`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.coco import find_coco, read_coco
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED, Sample
from clip_surgery.evaluation.datasets.mask_files import position
from clip_surgery.inputs.images import read_image


class CocoTags:
    """The names of COCO's objects that are in each picture.

    Args:
        root: the folder with annotations/ and val2017/ (or images/val2017/) in it.
        split: "val" or "train".
        year: 2017 or 2014.
        images: the folder of pictures below root, where it is another one.
        annotations: the JSON below root, where it is another one; then it tells the split.
        without_objects: whether pictures without any object are in it.

    Raises:
        InputError: when something is missing, or the JSON is not COCO's.
        UnknownNameError: for another split.
    """

    name = "coco_tags"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "val",
        year: int = 2017,
        images: str | None = None,
        annotations: str | None = None,
        without_objects: bool = True,
    ) -> None:
        self.classes = read_class_names("coco80")
        self.without_objects = without_objects
        self.place = find_coco(root, split, year, images=images, annotations=annotations)
        pictures = read_coco(self.place, self.names, shapes=False)
        self.pictures = tuple(own for own in pictures if own.present or without_objects)
        if not self.pictures:
            raise InputError(f"{self.place.annotations}: expected objects, but there is none.")

    @property
    def names(self) -> tuple[str, ...]:
        """The 80 classes."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self.pictures[position(index, len(self))]
        image = read_image(self.place.images / picture.file_name).image
        return Sample(
            image=image,
            mask=np.full((image.height, image.width), NOT_JUDGED, dtype=np.int64),
            present=frozenset(self.names[index] for index in picture.present),
        )

    def __repr__(self) -> str:
        return (
            f"CocoTags(annotations={self.place.annotations.name!r}, "
            f"without_objects={self.without_objects}, pictures={len(self)})"
        )
