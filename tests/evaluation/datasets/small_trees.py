"""Miniature data sets in their official layouts, for the tests of their loaders."""

import numpy as np
from PIL import Image

from clip_surgery.evaluation.datasets.imagenet_s import WORDNET_NUMBERS
from clip_surgery.records.mask_files import voc_palette

IMAGES = ("2007_000033", "2007_000042", "2008_000001")


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_image(path, size_hw=(6, 8), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG")


def write_palette(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, dtype=np.uint8))
    image.putpalette(voc_palette().tobytes())
    image.save(path)


def striped(*values, size_hw=(6, 8)):
    """A mask whose first columns hold these values, one column each, and 0 elsewhere."""
    mask = np.zeros(size_hw, dtype=np.int64)
    mask[:, : len(values)] = values
    return mask


def make_voc2012(root, masks):
    """VOCdevkit/VOC2012 with one image a mask."""
    base = root / "VOCdevkit" / "VOC2012"
    for number, (stem, mask) in enumerate(masks.items()):
        write_image(base / "JPEGImages" / f"{stem}.jpg", mask.shape, seed=number)
        write_palette(base / "SegmentationClass" / f"{stem}.png", mask)
    write_text(base / "ImageSets/Segmentation/val.txt", "".join(f"{stem}\n" for stem in masks))
    return base


def make_voc2007(root, flags, split="test"):
    """VOCdevkit/VOC2007 with the lists of 20 classes; flags: image to {class: 1 or 0}."""
    from clip_surgery.evaluation.datasets.class_names import read_class_names

    base = root / "VOCdevkit" / "VOC2007"
    for number, stem in enumerate(flags):
        write_image(base / "JPEGImages" / f"{stem}.jpg", seed=number)
    for name in read_class_names("voc20").names:
        lines = [f"{stem} {own.get(name, -1):2d}\n" for stem, own in flags.items()]
        write_text(base / f"ImageSets/Main/{name}_{split}.txt", "".join(lines))
    return base


def make_context(root, masks):
    """VOCdevkit/VOC2010 as mmsegmentation's converter leaves it."""
    base = root / "VOCdevkit" / "VOC2010"
    for number, (stem, mask) in enumerate(masks.items()):
        write_image(base / "JPEGImages" / f"{stem}.jpg", mask.shape, seed=number)
        write_palette(base / "SegmentationClassContext" / f"{stem}.png", mask)
    listing = "".join(f"{stem}\n" for stem in masks)
    write_text(base / "ImageSets/SegmentationContext/val.txt", listing)
    return base


def make_imagenet_s(root, split="validation"):
    """ImageNetS50 with an image a class: the class, beside 0 and not judged."""
    base = root / "ImageNetS50"
    for number, own in enumerate(WORDNET_NUMBERS, 1):
        stem = f"ILSVRC2012_val_{number:08d}"
        write_image(base / split / own / f"{stem}.JPEG", seed=number)
        write_rgb_mask(base / f"{split}-segmentation" / own / f"{stem}.png", striped(number, 1000))
    return base


def write_rgb_mask(path, values):
    """Red + 256 * green."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.stack([values % 256, values // 256, np.zeros_like(values)], axis=-1)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
