"""Images with one JSON of COCO's form for all of them; shapes are painted when asked for."""

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

    A name is present where an object or a crowd of it is listed, also if nothing of it can be
    seen behind smaller objects.

    Args:
        name: what reports call it.
        classes: its names.
        images: the folder of images.
        annotations: the JSON.
        images: what the JSON says of each image.
        settings: what else makes it another data set, for the repr.

    Raises:
        InputError: when images are missing.
    """

    def __init__(
        self,
        *,
        name: str,
        classes: ClassNames,
        images: Path,
        annotations: Path,
        pictures: Sequence[AnnotatedImage],
        settings: Mapping[str, object],
    ) -> None:
        super().__init__(
            name=name,
            classes=classes,
            listing=[picture.file_name for picture in pictures],
            settings=settings,
        )
        self.images, self.annotations, self.pictures = images, annotations, tuple(pictures)
        check_files(
            [self.image_path(place) for place in range(len(self))],
            f"{images}: half unpacked, images of {annotations.name}",
        )

    def image_path(self, place: int) -> Path:
        """Where the image at a place of the listing is."""
        return self.images / self.listing[place]

    def present(self, place: int) -> frozenset[str]:
        """The names of what is listed for an image."""
        return frozenset(self.names[index] for index in self.pictures[place].present)

    def read(self, place: int) -> Sample:
        """An image with its objects, the smaller ones on top.

        Raises:
            InputError: when the image cannot be read or is of another size than the JSON says,
                or one of its shapes is damaged.
        """
        picture, path = self.pictures[place], self.image_path(place)
        image = read_image(path).image
        painted = paint(picture.instances(), picture.size_hw, str(self.annotations))
        mask = upright_mask(painted, path)
        check_size(mask, image, f"{self.annotations}, {picture.file_name}")
        return Sample(image=image, mask=mask, present=self.present(place))
