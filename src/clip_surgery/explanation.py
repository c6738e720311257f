"""The result of explaining images for texts: raw scores at patch resolution.

Scores are not scaled to [0, 1], so that methods can be compared and thresholds have a meaning.
They are kept at the resolution of the patches, (C, rows, columns), so that files stay small; tasks
such as `heatmaps` bring them to the size of the image.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from clip_surgery.deferred_tensor import DeferrableTensor, combined, transformed, unread
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation_parts import check_shapes, fields_from_parts, to_parts
from clip_surgery.explanation_summary import listed, notebook_html, summary
from clip_surgery.framing import Framing
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.storage.tensor_file import read_tensors, write_tensors

FORMAT = "clip-surgery explanation 1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Scores of C texts in B images; the grids of the images may differ in shape.

    Attributes:
        patch_scores: one tensor (C, rows, columns) per image. Scores are raw; a higher score is
            more evidence for the text.
        similarity: one tensor (C, rows, columns) per image, the cosine similarity of patches and
            texts before feature surgery, which segmentation uses. None if the method has none.
        image_scores: (B, C), cosine similarity of images and texts.
        reference_log_ratios: (B, 2, C), log ratio of each text to the reference words, for the
            whole image and for its best patches (see `surgery.reference_log_ratios`). Presence
            is computed from them. None if the explainer had no vocabulary. If the method has no
            patch features, the model runs once more when they are first read.
        presence_rule: how presence is computed from the log ratios, if a rule was calibrated for
            the model; otherwise None.
        texts: the C texts.
        framings: one per image, the mapping between patch grid and original image.
        images: one name per image (a path, or "image 0").
        method: the method with its settings, as text.
        backbone: name of the model.

    Raises:
        InputError: if shapes or lengths do not agree.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow"])
        >>> explanation["cow"].texts, len(explanation[0])
        (('cow',), 1)
    """

    patch_scores: tuple[Tensor, ...]
    similarity: tuple[Tensor, ...] | None
    image_scores: Tensor
    texts: tuple[str, ...]
    framings: tuple[Framing, ...]
    images: tuple[str, ...]
    method: str
    backbone: str
    reference_log_ratios: DeferrableTensor = DeferrableTensor()
    presence_rule: PresenceRule | None = None

    def __post_init__(self) -> None:
        check_shapes(self)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.patch_scores)

    def __repr__(self) -> str:
        """Images, grids, method and model, and the best image score of each text."""
        return summary(self)

    def _repr_html_(self) -> str:
        """A table of small maps, which notebooks display."""
        return notebook_html(self)

    def __getitem__(self, key: SupportsIndex | str) -> Explanation:
        """Return the explanation of one image (by its index) or of one text (by the text).

        Raises:
            IndexError: if there is no image of this index.
            UnknownNameError: if the explanation was not made for this text.
            InputError: if the key is neither an index nor a text.
        """
        if isinstance(key, str):
            return self.only(key)
        try:
            index = operator.index(key)
        except TypeError:
            raise InputError(
                f"Expected the index of an image or a text, but got {type(key).__name__}."
            ) from None
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"Expected an image index below {len(self)} ({listed(self.images)}), "
                f"but got {index}."
            )
        index %= len(self)
        return replace(
            self,
            patch_scores=(self.patch_scores[index],),
            similarity=None if self.similarity is None else (self.similarity[index],),
            image_scores=self.image_scores[index : index + 1],
            framings=(self.framings[index],),
            images=(self.images[index],),
            reference_log_ratios=self._log_ratios(lambda ratios: ratios[index : index + 1]),
        )

    def __iter__(self) -> Iterator[Explanation]:
        """One explanation per image."""
        return (self[index] for index in range(len(self)))

    def text_index(self, text: str) -> int:
        """Return the position of a text in `texts`.

        Raises:
            UnknownNameError: if the explanation was not made for this text.
            InputError: if the text occurs more than once, as words of a sentence can.
        """
        positions = self.text_indices(text)
        if len(positions) > 1:
            raise InputError(
                f"Expected a text that occurs once, but {text!r} has the positions {positions}. "
                "Use text_indices for all of them."
            )
        return positions[0]

    def text_indices(self, texts: str | Sequence[str]) -> list[int]:
        """Return the positions of one text or several in `texts`, in the order requested.

        A text that occurs more than once, as a word of a sentence can, yields all its positions.

        Raises:
            InputError: if no text is given.
            UnknownNameError: if the explanation was not made for one of them.
        """
        requested = [texts] if isinstance(texts, str) else list(texts)
        if not requested:
            raise InputError("Expected at least one text, but got an empty list.")
        positions: dict[str, list[int]] = {}
        for index, text in enumerate(self.texts):
            positions.setdefault(text, []).append(index)
        for text in requested:
            if not isinstance(text, str):
                raise InputError(f"Expected texts, but got {type(text).__name__}: {text!r}.")
            if text not in positions:
                raise UnknownNameError.among("text", text, self.texts)
        return [index for text in dict.fromkeys(requested) for index in positions[text]]

    def only(self, texts: str | Sequence[str]) -> Explanation:
        """Return the explanation of one text or several, in the order requested.

        The scores are those computed together with the other texts; nothing is computed again.

        Raises:
            InputError: if no text is given.
            UnknownNameError: if the explanation was not made for one of them.
        """
        rows = self.text_indices(texts)
        return replace(
            self,
            patch_scores=tuple(scores[rows] for scores in self.patch_scores),
            similarity=None
            if self.similarity is None
            else tuple(scores[rows] for scores in self.similarity),
            image_scores=self.image_scores[:, rows],
            texts=tuple(self.texts[row] for row in rows),
            reference_log_ratios=self._log_ratios(lambda ratios: ratios[..., rows]),
        )

    def _log_ratios(self, change: Callable[[Tensor], Tensor]) -> Any:
        """The changed `reference_log_ratios`, which are not computed before they are read."""
        return transformed(unread(self, "reference_log_ratios"), change)

    def save(self, path: str | Path) -> None:
        """Write the explanation to one safetensors file: tensors, and the rest as JSON metadata.

        The file is replaced as a whole; if writing fails, an older file of this name is kept.

        Raises:
            InputError: if the file cannot be written.
        """
        tensors, values = self.to_parts()
        write_tensors(path, tensors, values, kind=FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> Explanation:
        """Read a file that `save` wrote.

        Raises:
            InputError: if the file is missing, damaged or of another kind.
        """
        tensors, values = read_tensors(path, kind=FORMAT)
        try:
            return cls.from_parts(tensors, values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Expected an explanation file, but {path} is damaged: {error!r}."
            ) from error

    def to_parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors by name, and the other fields as values that JSON can hold."""
        return to_parts(self)

    @classmethod
    def from_parts(cls, tensors: dict[str, Tensor], values: dict[str, Any]) -> Explanation:
        """Build an explanation from the two results of `to_parts`."""
        return cls(**fields_from_parts(tensors, values))

    @classmethod
    def join(cls, parts: list[Explanation]) -> Explanation:
        """Combine explanations of different images for the same texts, method and model.

        `similarity` and `reference_log_ratios` are kept if all parts have them.

        Raises:
            InputError: if there is no part, or texts, method or model differ.
        """
        if not parts:
            raise InputError("Expected at least one explanation to join, but got none.")
        first = parts[0]
        for part in parts[1:]:
            if (part.texts, part.method, part.backbone) != (
                first.texts,
                first.method,
                first.backbone,
            ):
                raise InputError("Expected the same texts, method and backbone in all parts.")
        ratios: Any = combined([unread(part, "reference_log_ratios") for part in parts], torch.cat)
        similarity = None
        if all(part.similarity is not None for part in parts):
            similarity = tuple(s for part in parts for s in part.similarity or ())
        return replace(
            first,
            patch_scores=tuple(s for part in parts for s in part.patch_scores),
            similarity=similarity,
            image_scores=torch.cat([part.image_scores for part in parts]),
            framings=tuple(f for part in parts for f in part.framings),
            images=tuple(name for part in parts for name in part.images),
            reference_log_ratios=ratios,
        )
