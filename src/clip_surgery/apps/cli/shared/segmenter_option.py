"""The option --segmenter: its help, and how the segmenter is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clip_surgery.apps.cli.shared import console

if TYPE_CHECKING:
    from clip_surgery.segmenters.segmenter import Segmenter

SEGMENTER_HELP = (
    "SAM or SAM 2 model that segments objects (hub name or local folder), a registered segmenter, "
    "or package.module:Class."
)


def load_named_segmenter(name: str, device: str) -> Segmenter:
    """Return the segmenter of a name. A status line says that it is loading.

    Args:
        name: value of the option.
        device: value of the option --device.

    Raises:
        ClipSurgeryError: as for `load_segmenter`.
    """
    with console.status(f"loading {name}"):
        from clip_surgery.segmenters.registry import load_segmenter

        return load_segmenter(name, device=device)
