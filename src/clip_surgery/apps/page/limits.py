"""Limits of the requests of one visitor, so that the page keeps responding to all others."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of requests and of how long data is kept. All limits are at least 1.

    Attributes:
        file_mb: maximum size of an uploaded file in MB.
        folder_mb: maximum size of all uploaded files together in MB. While they are larger, new
            uploads are refused.
        megapixels: maximum number of pixels of an image in millions, checked before decoding.
        side: maximum longer side in pixels. Larger images are reduced to it, and results are in
            pixels of the reduced image.
        patches: maximum number of patches that the model gets from one image. Images that would
            give more are reduced further; the result has the same size with coarser maps.
        texts: maximum number of texts in one request.
        characters: maximum length of a text or a sentence.
        request_kb: maximum size of a request without its files in kB.
        waiting: maximum number of requests that wait for the model; further ones are refused.
        seconds: maximum time for which one request may use the model. It is checked between the
            blocks of the model.
        sessions: number of visitors whose last result is kept.
        history: number of results to which a visitor can go back.
        minutes: how long a result and the uploaded files are kept.

    Raises:
        InputError: if a limit is below 1.
    """

    file_mb: int = 20
    folder_mb: int = 2_000
    megapixels: int = 50
    side: int = 2048
    patches: int = 1_024
    texts: int = 24
    characters: int = 300
    request_kb: int = 256
    waiting: int = 32
    seconds: int = 60
    sessions: int = 100
    history: int = 6
    minutes: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise InputError(
                    f"Expected {field.name} of at least 1, but got {getattr(self, field.name)}."
                )

    def applied_to(self, explainer: Explainer) -> Explainer:
        """Return the explainer with at most as many patches of an image as these limits allow."""
        framing = explainer.framing
        max_patches = min(framing.max_patches, self.patches)
        return replace(explainer, framing=replace(framing, max_patches=max_patches))
