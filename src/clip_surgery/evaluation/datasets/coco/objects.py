"""COCO objects: masks of 80 classes from the annotated instances.

Lin et al., ECCV 2014, cocodataset.org. Where objects overlap, the smaller one is in front. Pixels
of a crowd region that no single object covers are not judged (see `shapes.py`). All other pixels
belong to no object. Categories are matched by their names, because the ids in the file range from
1 to 90 with ten gaps.
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
    """The objects of COCO: 5,000 images in the split "val" of 2017, 48 of them without objects.

    Args:
        root: the folder that contains annotations/ and val2017/ (or images/val2017/).
        split: "val" or "train".
        year: 2017, or 2014 with its larger "val".
        images: folder of images relative to root; by default the one of split and year.
        annotations: JSON relative to root; by default the one of split and year.

    Raises:
        InputError: if something is missing, or the JSON is not COCO's.
        UnknownNameError: if the split or year is unknown.
        MissingExtraError: if pycocotools is not installed.
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
        files = find_coco(root, split, year, images=images, annotations=annotations)
        classes = read_class_names("coco80")
        super().__init__(
            name="coco",
            classes=classes,
            images=files.images,
            annotations=files.annotations,
            annotated_images=files.read(classes.names),
            settings={"annotations": files.annotations.name},
        )


@dataclass(frozen=True, kw_only=True)
class CocoFiles:
    """The folder of images and the JSON of COCO."""

    images: Path
    annotations: Path

    def read(self, names: tuple[str, ...], *, shapes: bool = True) -> tuple[AnnotatedImage, ...]:
        """Return the annotated images of the JSON.

        Args:
            names: the class names, which the categories must have.
            shapes: whether to keep the shapes of objects.

        Raises:
            InputError: if the JSON is damaged or has other categories.
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
) -> CocoFiles:
    """Find the files of COCO in a folder; for the arguments see `CocoObjects`.

    Raises:
        InputError: if files are missing; the message lists them.
        UnknownNameError: if COCO does not have the split or year.
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
    return CocoFiles(images=base / images, annotations=base / annotations)
