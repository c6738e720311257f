"""A file that counts how often a shard has ended the process that computed it.

A process may die by chance (a machine that is taken away), or because an image crashes its
decoder. A shard is therefore first repeated as it is, and then image by image. An image that ends
its process twice when it is processed alone becomes a row with an error. The count is kept in a
file, so that the next process knows it, whichever engine starts it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from clip_surgery.errors import ClipSurgeryError

_MAX_UNEXPLAINED_DEATHS = 6
_MAX_BAD_IMAGES = 8


@dataclass(frozen=True, kw_only=True)
class ShardAttempt:
    """One attempt to compute a shard.

    Attributes:
        path: the file that keeps these values while the shard is being computed.
        deaths: how many earlier attempts ended their process while a whole window was processed.
        at: index of the image that is processed alone now; None if whole windows are processed.
        suspect: index of an image that has ended its process once when it was alone.
        bad: indices of images that did so twice and are not processed again.
    """

    path: Path
    deaths: int = 0
    at: int | None = None
    suspect: int | None = None
    bad: tuple[int, ...] = field(default=())

    @classmethod
    def begin(cls, folder: Path, shard: int) -> ShardAttempt:
        """Begin an attempt, taking into account the earlier attempts that ended their process.

        Args:
            folder: the result folder.
            shard: number of the shard.

        Raises:
            ClipSurgeryError: if too many processes died while they computed this shard.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     first, second, third = (ShardAttempt.begin(Path(folder), 0) for _ in range(3))
            >>> first.is_image_by_image, second.is_image_by_image, third.is_image_by_image
            (False, False, True)
        """
        path = folder / f".part-{shard:05}.attempt.partial"
        attempt = cls(path=path)
        if path.exists():
            attempt = attempt._after_death()
        if attempt.deaths >= _MAX_UNEXPLAINED_DEATHS or len(attempt.bad) > _MAX_BAD_IMAGES:
            raise ClipSurgeryError(
                f"processes died {attempt.deaths + 2 * len(attempt.bad)} times while they computed "
                f"part {shard}, because of too little memory or broken files. Finished parts are "
                "kept."
            )
        return attempt.at_image(None)

    @property
    def is_image_by_image(self) -> bool:
        """Whether each image is processed alone, so that a bad one is found."""
        return self.deaths > 1

    def at_image(self, index: int | None) -> ShardAttempt:
        """Write down which image is processed alone now."""
        attempt = replace(self, at=index)
        values = {name: value for name, value in asdict(attempt).items() if name != "path"}
        self.path.write_text(json.dumps(values), encoding="utf-8")
        return attempt

    def end(self) -> None:
        """Remove the file, because the shard is finished."""
        self.path.unlink(missing_ok=True)

    def _after_death(self) -> ShardAttempt:
        """The values for the next attempt, given those that a dead process left in the file."""
        last = replace(self, deaths=0)
        # The file may be incomplete, if the process was killed while it wrote it.
        with suppress(OSError, KeyError, TypeError, ValueError):
            values = json.loads(self.path.read_text(encoding="utf-8"))
            last = ShardAttempt(path=self.path, **{**values, "bad": tuple(values["bad"])})
        if last.at is None:
            return replace(last, deaths=last.deaths + 1)
        if last.at != last.suspect:  # the first time may be chance
            return replace(last, suspect=last.at)
        return replace(last, bad=(*last.bad, last.at))
