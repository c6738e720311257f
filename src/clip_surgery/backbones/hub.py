"""Access to the Hugging Face hub, with errors of one line.

Without a network, huggingface_hub tries six times per file, 24 s each. Therefore cached files are
used without a request, and before a download one short request checks that the hub responds.
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
    """Return the first of the named files of a repository that is in the cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        path = try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return Path(path)
    return None


def require_hub(wanted: str, *, advice: str = _ADVICE) -> None:
    """Check within seconds that the hub responds.

    Args:
        wanted: what is to be fetched, for the message.
        advice: last sentence of the message, what to do instead.

    Raises:
        WeightsError: if the hub does not respond, or if offline mode is set (HF_HUB_OFFLINE).
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        raise could_not_fetch(wanted, "offline mode is set (HF_HUB_OFFLINE)", advice=advice)
    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT_S)
    except Exception as error:  # the client's error classes differ between its versions
        raise could_not_fetch(
            wanted, f"{constants.ENDPOINT} does not answer", advice=advice
        ) from error


def could_not_fetch(wanted: str, reason: str, *, advice: str = _ADVICE) -> WeightsError:
    """Return the error for weights that could not be fetched."""
    return WeightsError(f"Could not fetch {one_line(wanted)}: {reason}. {advice}")


def not_usable(source: Path | str, reason: BaseException | str) -> WeightsError:
    """Return the error for a file or folder that exists but cannot be used."""
    return WeightsError(f"Could not load weights from {one_line(str(source))}: {one_line(reason)}")


def one_line(reason: BaseException | str, *, length: int = 200) -> str:
    """Return the message of an error, or a text, as one line of printable characters.

    Args:
        reason: the error or the text.
        length: largest number of characters; longer texts end in "...".
    """
    if isinstance(reason, str):
        text = reason
    else:
        text = f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= length else f"{text[: length - 3]}..."
