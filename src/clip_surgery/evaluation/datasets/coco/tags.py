"""COCO for tags: which of 80 objects are in an image; no masks.

A name is there when one object or crowd of it is annotated. The field's numbers are on 2014's
"val": 40,504 images, 367 of which have no object at all (2017's: 48 of 5,000). Some papers leave
those out (40,137), which changes every average precision a little: `without_objects=False`.
"""

from __future__ import annotations

from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.coco.annotated_files import AnnotatedFiles
from clip_surgery.evaluation.datasets.coco.objects import find_coco
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.inputs.images import read_image


class CocoTags(AnnotatedFiles):
    """The names of COCO's objects that are in each image.

    Args:
        root: the folder with annotations/ and val2017/ (or images/val2017/) in it.
        split: "val" or "train".
        year: 2017 or 2014.
        images: the folder of images below root, where it is another one.
        annotations: the JSON below root, where it is another one; then it tells the split.
        without_objects: whether images without any object are in it.

    Raises:
        InputError: when something is missing, or the JSON is not COCO's.
        UnknownNameError: for another split.
    """

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
        place = find_coco(root, split, year, images=images, annotations=annotations)
        classes = read_class_names("coco80")
        pictures = place.read(classes.names, shapes=False)
        pictures = tuple(own for own in pictures if own.present or without_objects)
        if not pictures:
            raise InputError(f"{place.annotations}: expected objects, but there is none.")
        super().__init__(
            name="coco_tags",
            classes=classes,
            images=place.images,
            annotations=place.annotations,
            pictures=pictures,
            settings={
                "annotations": place.annotations.name,
                "without_objects": without_objects,
            },
        )

    def read(self, place: int) -> Sample:
        """An image and the names that are in it.

        Raises:
            InputError: when the image cannot be read.
        """
        image = read_image(self.image_path(place)).image
        return Sample.without_mask(image, present=self.present(place))
