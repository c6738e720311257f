"""SAM and SAM 2 through transformers, as a Segmenter.

Sources: Segment Anything (arXiv 2304.02643), SAM 2 (arXiv 2408.00714). What is done here is the
way into the model's frame and back: SAM lays the image into the upper left corner of a square,
SAM 2 stretches it to one. The image is embedded once, the decoder runs once a prompt.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from clip_surgery.backbones.config_files import faults_name, is_folder
from clip_surgery.backbones.devices import resolve_device
from clip_surgery.backbones.hub import could_not_fetch, not_usable, one_line, require_hub
from clip_surgery.errors import ClipSurgeryError, MissingExtraError, UnsupportedModelError
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage, to_pixels
from clip_surgery.segmenters.segmenter import Candidates, Prompt

# ImageNet's, which both models were trained with
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_ADVICE = "Give a local folder with a SAM model."
# SAM 2 checkpoints are published as video models, whose image part Sam2Model reads
_CLASSES = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SamSegmenter:
    """A SamModel or Sam2Model of transformers, ready to be prompted.

    Attributes:
        model: the model in eval mode; it is only read.
        squash: whether the image is stretched to the square (SAM 2) or laid into it (SAM).
        side: of the square, in pixels.
        mask_side: of the square in which it takes a rough mask.

    Example:
        >>> segmenter = SamSegmenter.load("facebook/sam-vit-base")           # doctest: +SKIP
    """

    model: nn.Module
    squash: bool
    side: int
    mask_side: int

    @classmethod
    def load(cls, name: str | Path, *, device: str = "auto") -> SamSegmenter:
        """Load by hub name ("facebook/sam-vit-base", "facebook/sam2.1-hiera-tiny") or folder.

        Raises:
            WeightsError: in one line, when weights cannot be fetched, found or read.
            UnsupportedModelError: for a model of another kind.
            InputError: for a device that is not there.
            MissingExtraError: when transformers is not installed.
        """
        where = resolve_device(device)
        if importlib.util.find_spec("transformers") is None:
            raise MissingExtraError.of("sam", "transformers")
        source = str(name)
        try:
            model = _load(source, local_files_only=True)
        except ClipSurgeryError:
            raise
        except Exception as error:  # transformers raises OSError, ValueError and others
            if is_folder(source):
                raise not_usable(source, error) from error
            require_hub(source, advice=_ADVICE)
            try:
                model = _load(source, local_files_only=False)
            except ClipSurgeryError:
                raise
            except Exception as fetching:
                raise could_not_fetch(source, one_line(fetching), advice=_ADVICE) from fetching
        with faults_name(source):
            return cls.wrap(model.to(where).eval())

    @classmethod
    def wrap(cls, model: nn.Module) -> SamSegmenter:
        """See a model in memory as a segmenter.

        Raises:
            UnsupportedModelError: when it is neither a SamModel nor a Sam2Model.
        """
        kind = type(model).__name__
        if kind not in _CLASSES.values():
            raise UnsupportedModelError(
                f"Expected a SamModel or Sam2Model of transformers, but got {kind}."
            )
        model_settings: Any = model.config
        settings = model_settings.prompt_encoder_config
        side = int(settings.image_size)
        return cls(
            model=model,
            squash=kind == "Sam2Model",
            side=side,
            mask_side=4 * (side // int(settings.patch_size)),
        )

    @torch.no_grad()
    def __call__(self, picture: InputImage, prompts: Sequence[Prompt]) -> list[Candidates]:
        """Candidates for each prompt; the image is embedded once."""
        if not prompts:
            return []
        model: Any = self.model
        frame = _SquareFrame.of(picture.size, self.side, squash=self.squash)
        embedding = model.get_image_embeddings(self._on_model(frame.pixels(picture)[None]))
        candidates = []
        for prompt in prompts:
            output = model(
                image_embeddings=embedding, multimask_output=True, **self._inputs(prompt, frame)
            )
            logits = frame.restore(output.pred_masks[0, 0].float())  # (K, H, W)
            scores = output.iou_scores[0, 0].float().cpu()
            candidates.append(Candidates(masks=(logits > 0).cpu(), scores=scores))
        return candidates

    def _inputs(self, prompt: Prompt, frame: _SquareFrame) -> dict[str, Tensor]:
        inputs: dict[str, Tensor] = {}
        if len(prompt.xy):
            points = torch.from_numpy(prompt.xy).float() * frame.ratio
            inputs["input_points"] = self._on_model(points[None, None])
            labels = torch.from_numpy(prompt.labels).int()
            inputs["input_labels"] = labels[None, None].to(next(self.model.parameters()).device)
        if prompt.box is not None:
            corners = torch.tensor(prompt.box, dtype=torch.float32).view(2, 2) * frame.ratio
            inputs["input_boxes"] = self._on_model(corners.view(1, 1, 4))
        if prompt.logits is not None:
            rough = frame.lay(prompt.logits[None, None], self.mask_side)
            inputs["input_masks"] = self._on_model(rough)
        return inputs

    def _on_model(self, values: Tensor) -> Tensor:
        weights = next(self.model.parameters())
        return values.to(weights.device, weights.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class _SquareFrame:
    """How an image lies in the model's square, from its upper left corner on."""

    original: Size
    content: Size
    side: int

    @classmethod
    def of(cls, original: Size, side: int, *, squash: bool) -> _SquareFrame:
        scale = side / max(original)
        content = (
            Size(side, side) if squash else Size(*(max(1, round(o * scale)) for o in original))
        )
        return cls(original=original, content=content, side=side)

    @property
    def ratio(self) -> Tensor:
        """Pixels of the square per pixel of the image, (x, y)."""
        return torch.tensor(
            [
                self.content.width / self.original.width,
                self.content.height / self.original.height,
            ]
        )

    def pixels(self, picture: InputImage) -> Tensor:
        """The image in the square, normalised: (3, side, side)."""
        resized = picture.image.resize(
            (self.content.width, self.content.height), Image.Resampling.BILINEAR
        )
        mean, std = (
            torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (MEAN, STD)
        )
        return self._pad((to_pixels(resized) - mean) / std, self.side)

    def lay(self, maps: Tensor, size: int) -> Tensor:
        """Maps (1, 1, H, W) of the image in a square of `size`."""
        scale = size / self.side
        content = [max(1, round(side * scale)) for side in self.content]
        return self._pad(
            F.interpolate(maps.float(), size=content, mode="bilinear", antialias=True), size
        )

    def restore(self, logits: Tensor) -> Tensor:
        """Maps (K, h, w) over the square to the image: (K, H, W)."""
        maps = logits[None]
        if self.content != (self.side, self.side):
            maps = F.interpolate(maps, size=[self.side] * 2, mode="bilinear", align_corners=False)
            maps = maps[..., : self.content.height, : self.content.width]
        size = list(self.original)
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[0]

    @staticmethod
    def _pad(maps: Tensor, side: int) -> Tensor:
        height, width = maps.shape[-2:]
        return F.pad(maps, (0, side - width, 0, side - height))


def _load(source: str, *, local_files_only: bool) -> nn.Module:
    import transformers

    settings, _ = transformers.PretrainedConfig.get_config_dict(
        source, local_files_only=local_files_only
    )
    kind = settings.get("model_type")
    if kind is None:
        raise not_usable(source, "no config.json with a model_type is in it")
    if kind not in _CLASSES:
        raise UnsupportedModelError(
            f"{source}: expected a SAM or SAM 2 model of transformers, but got type {kind!r}."
        )
    model, report = getattr(transformers, _CLASSES[kind]).from_pretrained(
        source, local_files_only=local_files_only, output_loading_info=True
    )
    if report["missing_keys"]:  # transformers would go on with random weights there
        raise not_usable(source, f"weights missing for {sorted(report['missing_keys'])[0]}")
    loaded: nn.Module = model
    return loaded
