"""Attempts: how often a shard killed its process, kept in a file while the shard is being made.

A death may be chance (a machine that is taken away) or an image that crashes its decoder. So a
shard is tried again as it is, then image by image, and an image that kills twice when it is
alone becomes an error. The file is there for the next process, whoever starts it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from clip_surgery.errors import ClipSurgeryError

_MOST_DEATHS = 6  # with nobody to blame
_MOST_BAD = 8  # images of a shard


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a shard.

    Attributes:
        path: where it is noted.
        deaths: of earlier attempts, of no known cause.
        at: the image that is tried alone now.
        suspect: an image that killed once when it was alone.
        bad: images that did so twice, not to be touched again.
    """

    path: Path
    deaths: int = 0
    at: int | None = None
    suspect: int | None = None
    bad: tuple[int, ...] = field(default=())

    @classmethod
    def begin(cls, folder: Path, shard: int) -> Attempt:
        """Begin, and learn from attempts that did not end.

        Raises:
            ClipSurgeryError: when processes died too often over this shard.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     first, second, third = (Attempt.begin(Path(folder), 0) for _ in range(3))
            >>> first.one_by_one, second.one_by_one, third.one_by_one
            (False, False, True)
        """
        path = folder / f".part-{shard:05}.attempt.partial"
        now = cls(path=path)
        if path.exists():
            now = now._after_death()
        if now.deaths >= _MOST_DEATHS or len(now.bad) > _MOST_BAD:
            raise ClipSurgeryError(
                f"processes died {now.deaths + 2 * len(now.bad)} times over part {shard}, for "
                "lack of memory or by broken files; what is done is kept."
            )
        return now.at_picture(None)

    @property
    def one_by_one(self) -> bool:
        """Whether each image is to be tried alone, and noted before."""
        return self.deaths > 1

    def at_picture(self, index: int | None) -> Attempt:
        """Note which image is tried now."""
        now = replace(self, at=index)
        facts = {name: value for name, value in asdict(now).items() if name != "path"}
        self.path.write_text(json.dumps(facts), encoding="utf-8")
        return now

    def end(self) -> None:
        """The shard is done."""
        self.path.unlink(missing_ok=True)

    def _after_death(self) -> Attempt:
        """What the attempt that is noted in the file teaches."""
        last = replace(self, deaths=0)
        with suppress(OSError, KeyError, TypeError, ValueError):  # cut off in the middle of a word
            facts = json.loads(self.path.read_text(encoding="utf-8"))
            last = Attempt(path=self.path, **{**facts, "bad": tuple(facts["bad"])})
        if last.at is None:
            return replace(last, deaths=last.deaths + 1)
        if last.at != last.suspect:  # once may be chance
            return replace(last, suspect=last.at)
        return replace(last, bad=(*last.bad, last.at))
