"""Miniature COCO trees, for the tests of what reads its JSON."""

import json

from tests.evaluation.datasets.small_trees import write_image

# cocodataset.org: ids 1 to 90, and those of them that no object has
COCO_IDS = [i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}]
SIZE = (6, 8)


def rectangle(left, top, right, bottom):
    """A polygon that covers the columns left..right - 1 and the rows top..bottom - 1."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(number, image_name, category, shape, crowd=0):
    return {
        "id": number,
        "image_id": image_name,
        "category_id": category,
        "segmentation": shape,
        "iscrowd": crowd,
    }


def categories(names):
    return [{"id": i, "name": name} for i, name in zip(COCO_IDS, names, strict=True)]


def content(names, annotations, image_ids=(9, 7), size_hw=SIZE):
    images = [
        {"id": i, "file_name": f"{i:012d}.jpg", "height": size_hw[0], "width": size_hw[1]}
        for i in image_ids
    ]
    return {"images": images, "annotations": annotations, "categories": categories(names)}


def make_coco(root, parts, part="val2017", folder="val2017"):
    """root/val2017/*.jpg and root/annotations/instances_val2017.json; the path of the JSON."""
    for image in parts["images"]:
        size_hw = (image["height"], image["width"])
        write_image(root / folder / image["file_name"], size_hw, seed=image["id"])
    path = root / "annotations" / f"instances_{part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parts))
    return path
