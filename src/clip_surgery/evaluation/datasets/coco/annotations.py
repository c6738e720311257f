"""COCO's instances JSON: which objects are in which image, kept no larger than the file is.

Format: cocodataset.org/#format-data. A parsed train2017 takes gigabytes as Python's lists of
numbers. So each image's shapes are put back into JSON text, and read again when they are drawn;
what is kept can also be sent to other processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip_surgery.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One annotated object, or a crowd of one class.

    Attributes:
        number: its id in the file.
        index: its class.
        crowd: whether it is a region with several that were not told apart.
        shape: polygons or run lengths, as in the file.
    """

    number: int
    index: int
    crowd: bool
    shape: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedImage:
    """What the JSON says of one image.

    Attributes:
        file_name: of the image, below the folder of images.
        size_hw: its height and width in pixels.
        present: the classes of its objects and crowds, each once.
        record: the objects, as text.
    """

    file_name: str
    size_hw: tuple[int, int]
    present: tuple[int, ...]
    record: str

    def instances(self) -> list[Instance]:
        """The objects in the order of the file; without shapes none."""
        return [
            Instance(number=number, index=index, crowd=bool(crowd), shape=shape)
            for number, index, crowd, shape in json.loads(self.record)
        ]


def read_content(path: Path) -> Mapping[str, Any]:
    """The content of an instances JSON, with the parts that are needed.

    Raises:
        InputError: when it cannot be read, is no JSON or has other parts.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON, but got a damaged file ({error}).") from None
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(p), list) for p in parts):
        raise InputError(
            f"{path}: expected COCO's instances, a JSON with lists {', '.join(parts)}."
        )
    return content


def read_annotated_images(
    content: Mapping[str, Any], classes: Mapping[int, int], path: Path, *, shapes: bool = True
) -> tuple[AnnotatedImage, ...]:
    """The images in the order of their ids.

    Args:
        content: of the JSON.
        classes: category id to the index of the class.
        path: what errors call it.
        shapes: whether objects are kept, or only which classes are present.

    Raises:
        InputError: when an entry lacks something, names an image or category that is not there,
            or there is no image at all.
    """
    own: dict[int, list[tuple[int, int, int, Any]]] = {}
    try:
        images = {image["id"]: image for image in content["images"]}
        own = {number: [] for number in images}
        for entry in content["annotations"]:
            index = classes[entry["category_id"]]
            kept = entry.get("segmentation") if shapes else None
            own[entry["image_id"]].append((entry["id"], index, int(entry.get("iscrowd", 0)), kept))
        pictures = tuple(
            AnnotatedImage(
                file_name=str(images[number]["file_name"]),
                size_hw=(int(images[number]["height"]), int(images[number]["width"])),
                present=tuple(sorted({index for _, index, _, _ in own[number]})),
                record=json.dumps(own[number] if shapes else [], separators=(",", ":")),
            )
            for number in sorted(images)
        )
    except KeyError as error:
        raise InputError(f"{path}: an entry has or names no {error.args[0]!r}.") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: an entry is not as COCO writes them ({error}).") from None
    if not pictures:
        raise InputError(f"{path}: expected images, but there is none.")
    return pictures


def classes_by_name(categories: Iterable[Any], names: Sequence[str], path: Path) -> dict[int, int]:
    """Category id to the index of its name; the ids have gaps, the indices have none.

    Raises:
        InputError: for a category that is none of the names.

    Example:
        >>> classes_by_name([{"id": 18, "name": "dog"}], ("cat", "dog"), Path("instances.json"))
        {18: 1}
    """
    places = {name: index for index, name in enumerate(names)}
    try:
        named = {category["id"]: category["name"] for category in categories}
        strange = sorted(str(name) for name in named.values() if name not in places)
    except (KeyError, TypeError):
        raise InputError(f"{path}: expected categories with an id and a name each.") from None
    if strange:
        raise InputError(
            f"{path}: expected COCO's {len(names)} categories, but got {', '.join(strange[:3])}; "
            "images with other classes are read as the data set folder."
        )
    return {number: places[name] for number, name in named.items()}
