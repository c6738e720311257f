r"""NUS-WIDE for tags: which of 81 concepts are in an image of Flickr, without masks.

Chua et al., CIVR 2009; github.com/NExTplusplus/NUS-WIDE. ImageList/TestImagelist.txt has a line
such as `actor\0001_2124494179.jpg` for each of 107,859 images, and each file of
Groundtruth/TrainTestLabels has a line with 0 or 1 for each of them. Images without any concept are
in the official list and are evaluated. Images have been removed from Flickr over the years, so that
copies differ: a missing image is an error when it is read, not before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.datasets.files.folder_layout import Layout, check_choice
from clip_surgery.evaluation.datasets.files.image_files import ImageFiles
from clip_surgery.evaluation.datasets.files.listing import read_lines
from clip_surgery.inputs.images import read_image

_PARTS = {"test": "Test", "train": "Train"}


class NusWide(ImageFiles):
    """The concepts of NUS-WIDE: 107,859 images in the split "test".

    Args:
        root: the folder that contains Groundtruth/, ImageList/ and the images in Flickr/.
        split: "test" or "train".
        images: folder of images relative to root.

    Raises:
        InputError: if something is missing, or lists and labels differ in length.
        UnknownNameError: if the split is unknown.
    """

    def __init__(self, root: str | Path, *, split: str = "test", images: str = "Flickr") -> None:
        check_choice("split", split, tuple(_PARTS))
        classes = read_class_names("nus_wide81")
        base, part = Path(root), _PARTS[split]
        self.images = base / images
        listing = f"ImageList/{part}Imagelist.txt"
        labels = [f"Groundtruth/TrainTestLabels/Labels_{name}_{part}.txt" for name in classes.names]
        Layout(
            dataset="NUS-WIDE",
            source="Groundtruth and ImageList of https://github.com/NExTplusplus/NUS-WIDE; its "
            "authors give the images on request",
            paths=(images, listing, *labels),
        ).check(base)
        files = [line.replace("\\", "/") for line in read_lines(base / listing)]
        super().__init__(name="nus_wide", classes=classes, listing=files, settings={"split": split})
        self._labels = np.packbits(  # one bit per concept: 1 MB for all images
            np.stack([_read_flags(base / path, len(files)) for path in labels], axis=1), axis=1
        )

    def read(self, index: int) -> Sample:
        """Return an image with its concepts.

        Raises:
            InputError: if the image is missing or damaged.
        """
        concepts = np.flatnonzero(np.unpackbits(self._labels[index])).tolist()
        return Sample.without_mask(
            read_image(self.images / self.listing[index]).image,
            present=frozenset(self.names[concept] for concept in concepts),
        )


def _read_flags(path: Path, count: int) -> NDArray[np.bool_]:
    """Read the flags of `count` images. Millions of them are parsed as bytes, which is fast."""
    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    flags = content[~np.isin(content, np.frombuffer(b" \t\r\n", dtype=np.uint8))]
    unknown = np.setdiff1d(flags, np.frombuffer(b"01", dtype=np.uint8))
    if unknown.size:
        raise InputError(f"{path}: expected 0 and 1, but got {chr(unknown[0])!r}.")
    if len(flags) != count:
        raise InputError(
            f"{path}: expected a flag for each of {count} listed images, but got {len(flags)}."
        )
    present: NDArray[np.bool_] = flags == ord("1")
    return present
