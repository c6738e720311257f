"""Asking the Hugging Face hub, or saying in one line why it could not be asked.

huggingface_hub tries a dead network six times per file, 24 s each. So files that are in its
cache are taken from there, and before anything is fetched one short request shows whether the
hub answers at all.
"""

from __future__ import annotations

from pathlib import Path

from clip_surgery.errors import WeightsError

_ADVICE = (
    "Give a local file (--checkpoint FILE with open_clip:ARCH) or a local folder as the model; "
    "'demo' works offline."
)
_TIMEOUT_S = 5


def cached_file(repository: str, *names: str) -> Path | None:
    """Find the first of the named files that the hub's cache holds, or None."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def require_hub(wanted: str, *, advice: str = _ADVICE) -> None:
    """Make sure, within seconds, that the hub answers.

    Raises:
        WeightsError: when it does not, or offline mode is set (HF_HUB_OFFLINE).
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        raise could_not_fetch(wanted, "offline mode is set (HF_HUB_OFFLINE)", advice=advice)
    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT_S)
    except Exception as error:  # the client's own tree of errors differs between its versions
        raise could_not_fetch(
            wanted, f"{constants.ENDPOINT} does not answer", advice=advice
        ) from error


def could_not_fetch(wanted: str, reason: str, *, advice: str = _ADVICE) -> WeightsError:
    """Build the error for weights that were to be fetched."""
    return WeightsError(f"Could not fetch {one_line(wanted)}: {reason}. {advice}")


def not_usable(what: Path | str, reason: BaseException | str) -> WeightsError:
    """Build the error for a file or folder that is there but cannot be used."""
    return WeightsError(f"Could not load weights from {one_line(str(what))}: {one_line(reason)}")


def one_line(reason: BaseException | str, *, length: int = 200) -> str:
    """Return an error's message or a name as one line of at most `length` printable characters."""
    if isinstance(reason, str):
        text = reason
    else:
        text = f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= length else f"{text[: length - 3]}..."
