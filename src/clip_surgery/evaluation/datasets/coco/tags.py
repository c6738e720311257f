"""COCO for tags: which of 80 classes are in an image, without masks.

A class is present if an object or a crowd of it is annotated. Published numbers are for the split
"val" of 2014: 40,504 images, of which 367 have no object (2017: 48 of 5,000). Some papers leave
these images out (40,137 remain), which changes every average precision slightly; this is
`without_objects=False`.
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
    """The classes of COCO's objects that are in each image.

    Args:
        root: the folder that contains annotations/ and val2017/ (or images/val2017/).
        split: "val" or "train".
        year: 2017 or 2014.
        images: folder of images relative to root; by default the one of split and year.
        annotations: JSON relative to root; by default the one of split and year.
        without_objects: whether the data set contains the images without any object.

    Raises:
        InputError: if something is missing, or the JSON is not COCO's.
        UnknownNameError: if the split or year is unknown.
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
        files = find_coco(root, split, year, images=images, annotations=annotations)
        classes = read_class_names("coco80")
        annotated_images = files.read(classes.names, shapes=False)
        annotated_images = tuple(
            annotated for annotated in annotated_images if annotated.present or without_objects
        )
        if not annotated_images:
            raise InputError(f"{files.annotations}: expected objects, but there is none.")
        super().__init__(
            name="coco_tags",
            classes=classes,
            images=files.images,
            annotations=files.annotations,
            annotated_images=annotated_images,
            settings={
                "annotations": files.annotations.name,
                "without_objects": without_objects,
            },
        )

    def read(self, index: int) -> Sample:
        """Return an image with the names of the classes in it.

        Raises:
            InputError: if the image cannot be read.
        """
        image = read_image(self.image_path(index)).image
        return Sample.without_mask(image, present=self.present(index))
