"""Images with one JSON in COCO's format for all of them; masks are drawn when a sample is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.coco.annotations import AnnotatedImage
from clip_surgery.evaluation.datasets.coco.shapes import paint
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.datasets.files.image_files import ImageFiles
from clip_surgery.evaluation.datasets.files.listing import check_files
from clip_surgery.evaluation.datasets.files.mask_files import check_size
from clip_surgery.evaluation.datasets.files.orientation import upright_mask
from clip_surgery.inputs.images import read_image


class AnnotatedFiles(ImageFiles):
    """A data set whose objects are listed in a JSON.

    A class is present in an image if an object or a crowd of it is listed, even if smaller objects
    cover it completely.

    Args:
        name: name of the data set in reports.
        classes: the class names.
        images: the folder of images.
        annotations: the JSON.
        annotated_images: the annotations of each image.
        settings: further settings that distinguish the data set, for its `repr`.

    Raises:
        InputError: if images are missing.
    """

    def __init__(
        self,
        *,
        name: str,
        classes: ClassNames,
        images: Path,
        annotations: Path,
        annotated_images: Sequence[AnnotatedImage],
        settings: Mapping[str, object],
    ) -> None:
        super().__init__(
            name=name,
            classes=classes,
            listing=[annotated.file_name for annotated in annotated_images],
            settings=settings,
        )
        self.images, self.annotations = images, annotations
        self.annotated_images = tuple(annotated_images)
        check_files(
            [self.image_path(index) for index in range(len(self))],
            f"{images}: incomplete, images of {annotations.name}",
        )

    def image_path(self, index: int) -> Path:
        """Return the path of an image."""
        return self.images / self.listing[index]

    def present(self, index: int) -> frozenset[str]:
        """Return the names of the classes that are listed for an image."""
        return frozenset(self.names[number] for number in self.annotated_images[index].present)

    def read(self, index: int) -> Sample:
        """Return an image with the mask of its objects, smaller objects in front.

        Raises:
            InputError: if the image cannot be read or is not of the size in the JSON, or if a
                shape is damaged.
        """
        annotated, path = self.annotated_images[index], self.image_path(index)
        image = read_image(path).image
        painted = paint(annotated.instances(), annotated.size_hw, str(self.annotations))
        mask = upright_mask(painted, path)
        check_size(mask, image, f"{self.annotations}, {annotated.file_name}")
        return Sample(image=image, mask=mask, present=self.present(index))
