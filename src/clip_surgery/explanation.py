"""The result of explaining images for texts: raw scores per patch, and how they were made.

Scores are at the resolution of patches and are never scaled to [0, 1]. Methods can therefore be
compared, thresholds keep their meaning, and files are small.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.framing import Framing, Size
from clip_surgery.storage.tensor_file import read_tensors, write_tensors

FORMAT = "clip-surgery explanation 1"
SHOWN = 5  # images, texts and scores that are listed when an explanation is printed
MAP_SIDE = 160  # pixels of the longer side of a map in a notebook


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Evidence for C texts in B images; images may have grids of different shape.

    Attributes:
        patch_scores: per image (C, rows, columns), raw, higher is more evidence.
        similarity: per image (C, rows, columns), the dense path's cosine before feature
            surgery (segmentation reads this one), or None where a method has none.
        image_scores: (B, C), cosine of image and text.
        reference_log_ratios: (B, 2, C), log ratio of each text to the reference words, for the
            whole image and for its best patches (see `surgery.reference_log_ratios`). Presence
            is computed from them. None if the explainer had no vocabulary.
        texts: the C texts.
        framings: per image, the way from map to image.
        images: per image, its name (a path, or "image 0").
        method: the method with its settings, as text.
        backbone: name of the model.

    Raises:
        InputError: when shapes and lengths do not belong together.
    """

    patch_scores: tuple[Tensor, ...]
    similarity: tuple[Tensor, ...] | None
    image_scores: Tensor
    texts: tuple[str, ...]
    framings: tuple[Framing, ...]
    images: tuple[str, ...]
    method: str
    backbone: str
    reference_log_ratios: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.patch_scores)
        lengths = {"framings": len(self.framings), "images": len(self.images)}
        if self.similarity is not None:
            lengths["similarity"] = len(self.similarity)
        for name, length in lengths.items():
            if length != count:
                raise InputError(f"Expected {name} for {count} images, but got {length}.")
        if tuple(self.image_scores.shape) != (count, len(self.texts)):
            raise InputError(
                f"Expected image_scores of shape ({count}, {len(self.texts)}), "
                f"but got {tuple(self.image_scores.shape)}."
            )
        expected = (count, 2, len(self.texts))
        if (
            self.reference_log_ratios is not None
            and tuple(self.reference_log_ratios.shape) != expected
        ):
            raise InputError(
                f"Expected reference_log_ratios of shape {expected}, "
                f"but got {tuple(self.reference_log_ratios.shape)}."
            )
        for name in ("patch_scores", "similarity"):
            for scores in getattr(self, name) or ():
                if scores.ndim != 3 or scores.shape[0] != len(self.texts):
                    raise InputError(
                        f"Expected {name} of shape ({len(self.texts)}, rows, columns), "
                        f"but got {tuple(scores.shape)}."
                    )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.patch_scores)

    def __getitem__(self, index: int | str) -> Explanation:
        """Return the explanation of one image, by its index, or of one text, by its name.

        Raises:
            IndexError: if there is no image of this index; the message names the images.
            UnknownNameError: if the explanation was not made for this text.
        """
        if isinstance(index, str):
            return self.only(index)
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"Expected an image index below {len(self)} ({_listed(self.images)}), "
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
            reference_log_ratios=None
            if self.reference_log_ratios is None
            else self.reference_log_ratios[index : index + 1],
        )

    def __repr__(self) -> str:
        """Images, texts, grids, method, and the best score of each text."""
        grids = sorted({f"{s.shape[1]} x {s.shape[2]}" for s in self.patch_scores})
        lines = [
            f"Explanation of {len(self)} images for {len(self.texts)} texts",
            f"  images: {_listed(self.images)}",
            f"  texts:  {_listed(self.texts)}",
            f"  grid:   {_listed(grids)} patches",
            f"  method: {self.method}, model: {self.backbone}",
        ]
        if len(self):
            best, image = self.image_scores.max(dim=0)
            scores = [
                f"{text} {float(score):.3f} ({self.images[int(index)]})"
                for text, score, index in zip(self.texts, best, image, strict=True)
            ]
            lines.append(f"  best image score of each text: {_listed(scores)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The maps of the first images as small pictures, for notebooks."""
        rows = [f"<pre>{html.escape(repr(self))}</pre>"]
        for name, scores in list(zip(self.images, self.patch_scores, strict=True))[:SHOWN]:
            figures = [
                f'<figure style="display:inline-block;margin:4px"><img src="{_map_link(one)}" '
                f'alt="map of {html.escape(text, quote=True)}"><figcaption>{html.escape(text)}'
                "</figcaption></figure>"
                for text, one in zip(self.texts[:SHOWN], scores[:SHOWN], strict=True)
            ]
            rows.append(f"<div><div>{html.escape(name)}</div>{''.join(figures)}</div>")
        return "".join(rows)

    def __iter__(self) -> Iterator[Explanation]:
        """One explanation per image."""
        return (self[index] for index in range(len(self)))

    def text_index(self, text: str) -> int:
        """Where a text stands among the texts.

        Raises:
            UnknownNameError: when the explanation was not made for this text.
        """
        if text not in self.texts:
            raise UnknownNameError.among("text", text, self.texts)
        return self.texts.index(text)

    def text_indices(self, texts: str | Sequence[str]) -> list[int]:
        """Where one text or several stand among the texts.

        Raises:
            InputError: when no text is given.
            UnknownNameError: when the explanation was not made for one of them.
        """
        asked = [texts] if isinstance(texts, str) else list(texts)
        if not asked:
            raise InputError("Expected at least one text, but got an empty list.")
        return [self.text_index(text) for text in asked]

    def only(self, texts: str | Sequence[str]) -> Explanation:
        """The explanation of one text or several alone, in the order asked; scores stay.

        Raises:
            InputError: when no text is given.
            UnknownNameError: when the explanation was not made for one of them.
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
            reference_log_ratios=None
            if self.reference_log_ratios is None
            else self.reference_log_ratios[..., rows],
        )

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file (tensors, and the rest as JSON metadata).

        Raises:
            InputError: when the file cannot be written.
        """
        tensors, facts = self.to_parts()
        write_tensors(path, tensors, facts, kind=FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> Explanation:
        """Read what `save` wrote.

        Raises:
            InputError: when the file is missing, damaged or of another kind.
        """
        tensors, facts = read_tensors(path, kind=FORMAT)
        try:
            return cls.from_parts(tensors, facts)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Expected an explanation file, but {path} is damaged: {error!r}."
            ) from error

    def to_parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and the rest as plain values: what a file holds."""
        tensors = {"image_scores": self.image_scores}
        if self.reference_log_ratios is not None:
            tensors["reference_log_ratios"] = self.reference_log_ratios
        for name in ("patch_scores", "similarity"):
            for index, scores in enumerate(getattr(self, name) or ()):
                tensors[f"{name}.{index}"] = scores
        return tensors, {
            "texts": self.texts,
            "with_similarity": self.similarity is not None,
            "framings": [asdict(framing) for framing in self.framings],
            "images": self.images,
            "method": self.method,
            "backbone": self.backbone,
        }

    @classmethod
    def from_parts(cls, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Explanation:
        """What `to_parts` took apart."""
        count = len(facts["images"])
        return cls(
            patch_scores=tuple(tensors[f"patch_scores.{i}"] for i in range(count)),
            similarity=tuple(tensors[f"similarity.{i}"] for i in range(count))
            if facts["with_similarity"]
            else None,
            image_scores=tensors["image_scores"],
            texts=tuple(facts["texts"]),
            framings=tuple(
                Framing(**{name: Size(*size) for name, size in framing.items()})
                for framing in facts["framings"]
            ),
            images=tuple(facts["images"]),
            method=facts["method"],
            backbone=facts["backbone"],
            reference_log_ratios=tensors.get("reference_log_ratios"),
        )

    @classmethod
    def join(cls, parts: list[Explanation]) -> Explanation:
        """Put explanations of different images by the same texts, method and model together.

        Raises:
            InputError: when there is none, or when texts, method or model differ.
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
        ratios = [
            part.reference_log_ratios for part in parts if part.reference_log_ratios is not None
        ]
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
            reference_log_ratios=torch.cat(ratios) if len(ratios) == len(parts) else None,
        )


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more


def _map_link(scores: Tensor) -> str:
    """A map (rows, columns) scaled to its range as the data link of a small grey image."""
    low, high = float(scores.min()), float(scores.max())
    grey = (scores.float() - low) / max(high - low, 1e-12)
    rows, columns = scores.shape
    side = MAP_SIDE / max(rows, columns)
    image = Image.fromarray((255 * grey).round().to(torch.uint8).cpu().numpy())
    size = (max(1, round(columns * side)), max(1, round(rows * side)))
    content = io.BytesIO()
    image.resize(size, Image.Resampling.BILINEAR).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
