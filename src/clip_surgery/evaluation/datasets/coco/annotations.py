"""Reading of COCO's instances JSON: which objects are in which image.

Format: cocodataset.org/#format-data. As Python lists, the numbers of train2017 would take several
gigabytes. Therefore the shapes of each image are kept as JSON text and parsed when they are drawn;
this text can also be sent to worker processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip_surgery.errors import InputError
from clip_surgery.inputs.images import MAX_SIDE
from clip_surgery.inputs.names import printable

_LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One annotated object, or a crowd of objects of one class.

    Attributes:
        number: id of the annotation in the file.
        index: index of the class.
        crowd: whether the region contains several objects that were not annotated one by one.
        shape: polygons or run lengths, as in the file.
    """

    number: int
    index: int
    crowd: bool
    shape: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedImage:
    """The annotations of one image.

    Attributes:
        file_name: name of the image, relative to the folder of images.
        size_hw: height and width of the image in pixels.
        present: indices of the classes of its objects and crowds, each once.
        record: the objects, as JSON text.
    """

    file_name: str
    size_hw: tuple[int, int]
    present: tuple[int, ...]
    record: str

    def instances(self) -> list[Instance]:
        """Return the objects in the order of the file; none if shapes were not kept."""
        return [
            Instance(number=number, index=index, crowd=bool(crowd), shape=shape)
            for number, index, crowd, shape in json.loads(self.record)
        ]


def read_content(path: Path) -> Mapping[str, Any]:
    """Read an instances JSON and check that it has the lists that are needed.

    Raises:
        InputError: if the file cannot be read, is not JSON or lacks a list.
    """
    name = printable(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}).") from error
    except RecursionError:
        raise InputError(f"{name}: expected JSON, but it is nested too deeply.") from None
    except (ValueError, MemoryError) as error:
        raise InputError(f"{name}: expected JSON, but got a damaged file ({error}).") from None
    if not isinstance(content, dict):
        content = {}
    missing = [field for field in _LISTS if not isinstance(content.get(field), list)]
    if missing:
        raise InputError(
            f"{name}: expected COCO's instances, a JSON with lists {', '.join(_LISTS)}, but "
            f"{', '.join(missing)} is missing or not a list."
        )
    return content


def read_annotated_images(
    content: Mapping[str, Any], classes: Mapping[int, int], path: Path, *, shapes: bool = True
) -> tuple[AnnotatedImage, ...]:
    """Return the annotated images in the order of their ids.

    Args:
        content: content of the JSON.
        classes: category id to index of the class.
        path: the file, for error messages.
        shapes: whether to keep the shapes of objects, or only which classes are present.

    Raises:
        InputError: if there is no image, if an entry lacks a field or has a wrong one, or if an
            annotation refers to an image or category that does not exist.
    """
    images: dict[int, tuple[str, tuple[int, int]]] = {}
    for position, entry in enumerate(content["images"]):
        with _EntryErrors(f"{printable(path)}, images[{position}]"):
            images[entry["id"]] = (str(entry["file_name"]), _size_hw(entry))
    if not images:
        raise InputError(f"{printable(path)}: expected images, but there is none.")
    objects: dict[int, list[tuple[Any, int, int, Any]]] = {number: [] for number in images}
    for position, entry in enumerate(content["annotations"]):
        with _EntryErrors(f"{printable(path)}, annotations[{position}]"):
            index = _referenced(classes, entry, "category_id")
            crowd = int(entry.get("iscrowd", 0))
            shape = entry.get("segmentation") if shapes else None
            _referenced(objects, entry, "image_id").append((entry["id"], index, crowd, shape))
    with _EntryErrors(f"{printable(path)}, images"):
        numbers = sorted(images)
    annotated = []
    for number in numbers:
        file_name, size_hw = images[number]
        with _EntryErrors(f"{printable(path)}, annotations of {printable(file_name)}"):
            annotated.append(
                AnnotatedImage(
                    file_name=file_name,
                    size_hw=size_hw,
                    present=tuple(sorted({index for _, index, _, _ in objects[number]})),
                    record=json.dumps(objects[number] if shapes else [], separators=(",", ":")),
                )
            )
    return tuple(annotated)


def classes_by_name(categories: Iterable[Any], names: Sequence[str], path: Path) -> dict[int, int]:
    """Return the index of the class of each category id. Ids may have gaps, indices have none.

    Raises:
        InputError: if a category has no id or name, or its name is not one of the names.

    Example:
        >>> classes_by_name([{"id": 18, "name": "dog"}], ("cat", "dog"), Path("instances.json"))
        {18: 1}
    """
    indices = {name: index for index, name in enumerate(names)}
    category_names = named_categories(categories, path)
    unknown = sorted(name for name in category_names.values() if name not in indices)
    if unknown:
        raise InputError(
            f"{printable(path)}: expected COCO's {len(names)} categories, but got "
            f"{', '.join(map(printable, unknown[:3]))}; images with other classes are read as the "
            "data set folder."
        )
    return {number: indices[name] for number, name in category_names.items()}


def named_categories(categories: Iterable[Any], path: Path) -> dict[int, str]:
    """Return the name of each category id, in the order of ids.

    Raises:
        InputError: if a category has no id or name; the message names the category.
    """
    names: dict[int, str] = {}
    for position, category in enumerate(categories):
        with _EntryErrors(f"{printable(path)}, categories[{position}]"):
            if not isinstance(category["name"], str):
                raise InputError(f"expected a name, but got {category['name']!r:.40}.")
            names[int(category["id"])] = category["name"]
    return {number: names[number] for number in sorted(names)}


class _EntryErrors:
    """Turn an error in an entry into an InputError that names the file, the entry and the field."""

    def __init__(self, entry: str) -> None:
        self.entry = entry

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError):
            raise InputError(f"{self.entry}: {error}") from None
        if isinstance(error, KeyError):
            raise InputError(f"{self.entry}: expected the field {error.args[0]!r}.") from None
        if isinstance(error, TypeError | ValueError | AttributeError | OverflowError):
            raise InputError(f"{self.entry}: not as COCO writes it ({error}).") from None
        if isinstance(error, RecursionError):
            raise InputError(f"{self.entry}: nested too deeply.") from None


def _size_hw(entry: Mapping[str, Any]) -> tuple[int, int]:
    """The height and width of an image entry."""
    height, width = int(entry["height"]), int(entry["width"])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise InputError(
            f"expected height and width from 1 to {MAX_SIDE} px, but got {height} and {width}."
        )
    return height, width


def _referenced(known: Mapping[int, Any], entry: Mapping[str, Any], field: str) -> Any:
    """What an entry refers to by an id."""
    number = entry[field]
    if number not in known:
        raise InputError(f"{field} {number!r:.40} does not exist.")
    return known[number]
