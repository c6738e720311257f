"""COCO objects: masks of 80 classes from the annotated instances.

Lin et al., ECCV 2014, cocodataset.org. Where objects overlap, the smaller one is on top; pixels of
a crowd region that no single object covers are not judged (`coco_shapes.py`); what is no object
stays NO_OBJECT. Names are found by name: ids in the file go from 1 to 90 with ten gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.coco_annotations import (
    AnnotatedPicture,
    classes_by_name,
    read_content,
    read_pictures,
)
from clip_surgery.evaluation.datasets.coco_shapes import check_pycocotools, paint
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.datasets.layout import Layout
from clip_surgery.evaluation.datasets.mask_files import check_files, position
from clip_surgery.evaluation.datasets.voc import check_choice
from clip_surgery.inputs.images import read_image


class CocoObjects:
    """The objects of COCO: 5,000 pictures in the split "val" of 2017, 48 of them without any.

    A name is present where an object or a crowd of it is annotated, also if nothing of it can be
    seen below smaller objects.

    Args:
        root: the folder with annotations/ and val2017/ (or images/val2017/) in it.
        split: "val" or "train".
        year: 2017, or 2014 with its larger "val".
        images: the folder of pictures below root, where it is another one.
        annotations: the JSON below root, where it is another one; then it tells the split.

    Raises:
        InputError: when something is missing, or the JSON is not COCO's.
        UnknownNameError: for another split.
        MissingExtraError: without pycocotools.
    """

    name = "coco"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "val",
        year: int = 2017,
        images: str | None = None,
        annotations: str | None = None,
    ) -> None:
        check_pycocotools()
        self.classes = read_class_names("coco80")
        self.place = find_coco(root, split, year, images=images, annotations=annotations)
        self.pictures = read_coco(self.place, self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The 80 classes."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self.pictures[position(index, len(self))]
        path = self.place.images / picture.file_name
        image = read_image(path).image
        if (image.height, image.width) != picture.size_hw:
            raise InputError(
                f"{path}: expected {' x '.join(map(str, picture.size_hw))} px (height x width) as "
                f"in {self.place.annotations.name}, but got {image.height} x {image.width}."
            )
        return Sample(
            image=image,
            mask=paint(picture.instances(), picture.size_hw, str(self.place.annotations)),
            present=frozenset(self.names[index] for index in picture.present),
        )

    def __repr__(self) -> str:
        return f"CocoObjects(annotations={self.place.annotations.name!r}, pictures={len(self)})"


@dataclass(frozen=True, kw_only=True)
class CocoPlace:
    """Where the pictures and the JSON are."""

    images: Path
    annotations: Path


def find_coco(
    root: str | Path,
    split: str,
    year: int,
    *,
    images: str | None = None,
    annotations: str | None = None,
) -> CocoPlace:
    """Find COCO's files below a folder.

    Raises:
        InputError: lists what is missing.
        UnknownNameError: for a split or year that COCO does not have.
    """
    check_choice("split", split, ("val", "train"))
    check_choice("year", str(year), ("2014", "2017"))
    part, base = f"{split}{year}", Path(root)
    if images is None:
        images = f"images/{part}" if (base / "images" / part).is_dir() else part
    annotations = annotations or f"annotations/instances_{part}.json"
    Layout(
        dataset=f"COCO {year}",
        source=f"{part}.zip and annotations_trainval{year}.zip of https://cocodataset.org/#download",
        paths=(images, annotations),
    ).check(base)
    return CocoPlace(images=base / images, annotations=base / annotations)


def read_coco(
    place: CocoPlace, names: tuple[str, ...], *, shapes: bool = True
) -> tuple[AnnotatedPicture, ...]:
    """The pictures of an instances JSON, all of which are there.

    Raises:
        InputError: when the JSON is not COCO's, or pictures are missing.
    """
    content = read_content(place.annotations)
    classes = classes_by_name(content["categories"], names, place.annotations)
    pictures = read_pictures(content, classes, place.annotations, shapes=shapes)
    check_files(
        [place.images / picture.file_name for picture in pictures],
        f"{place.images}: half unpacked, pictures",
    )
    return pictures
