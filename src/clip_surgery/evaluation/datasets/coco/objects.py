"""COCO objects: masks of 80 classes from the annotated instances.

Lin et al., ECCV 2014, cocodataset.org. Where objects overlap, the smaller one is on top; pixels of
a crowd region that no single object covers are not judged (`coco_shapes.py`); what is no object
stays NO_OBJECT. Names are found by name: ids in the file go from 1 to 90 with ten gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.coco.annotated_files import AnnotatedFiles
from clip_surgery.evaluation.datasets.coco.annotations import (
    AnnotatedImage,
    classes_by_name,
    read_annotated_images,
    read_content,
)
from clip_surgery.evaluation.datasets.coco.shapes import check_pycocotools
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice, first_folder


class CocoObjects(AnnotatedFiles):
    """The objects of COCO: 5,000 images in the split "val" of 2017, 48 of them without any.

    Args:
        root: the folder with annotations/ and val2017/ (or images/val2017/) in it.
        split: "val" or "train".
        year: 2017, or 2014 with its larger "val".
        images: the folder of images below root, where it is another one.
        annotations: the JSON below root, where it is another one; then it tells the split.

    Raises:
        InputError: when something is missing, or the JSON is not COCO's.
        UnknownNameError: for another split.
        MissingExtraError: without pycocotools.
    """

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
        place = find_coco(root, split, year, images=images, annotations=annotations)
        classes = read_class_names("coco80")
        super().__init__(
            name="coco",
            classes=classes,
            images=place.images,
            annotations=place.annotations,
            pictures=place.read(classes.names),
            settings={"annotations": place.annotations.name},
        )


@dataclass(frozen=True, kw_only=True)
class CocoPlace:
    """Where the images and the JSON are."""

    images: Path
    annotations: Path

    def read(self, names: tuple[str, ...], *, shapes: bool = True) -> tuple[AnnotatedImage, ...]:
        """What the JSON says of its images, with or without the shapes of objects.

        Raises:
            InputError: when the JSON is not one with COCO's categories, these names.
        """
        content = read_content(self.annotations)
        classes = classes_by_name(content["categories"], names, self.annotations)
        return read_annotated_images(content, classes, self.annotations, shapes=shapes)


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
    images = images or first_folder(base, f"images/{part}", part)
    annotations = annotations or f"annotations/instances_{part}.json"
    Layout(
        dataset=f"COCO {year}",
        source=f"{part}.zip and annotations_trainval{year}.zip of https://cocodataset.org/#download",
        paths=(images, annotations),
    ).check(base)
    return CocoPlace(images=base / images, annotations=base / annotations)
