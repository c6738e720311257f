"""SAM and SAM 2 of transformers as a `Segmenter`.

Sources: Segment Anything (arXiv 2304.02643), SAM 2 (arXiv 2408.00714). Images and prompts are
converted to the square input of the model, and masks back to the image (see `square_frame`). The
image is embedded once, and the decoder runs once per prompt.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clip_surgery.backbones.config_files import converting_errors, is_folder
from clip_surgery.backbones.devices import resolve_device
from clip_surgery.backbones.hub import could_not_fetch, not_usable, one_line, require_hub
from clip_surgery.errors import ClipSurgeryError, MissingExtraError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import InputImage
from clip_surgery.segmenters.image_attention import ImageAttention
from clip_surgery.segmenters.sam_attention import sam_attention
from clip_surgery.segmenters.segmenter import Candidates, Prompt
from clip_surgery.segmenters.square_frame import SquareFrame

_ADVICE = "Give a local folder with a SAM model."
# SAM 2 checkpoints are published as video models; Sam2Model loads their image part.
_CLASSES = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SamSegmenter:
    """A segmenter that uses a SamModel or Sam2Model of transformers.

    Attributes:
        model: the model in eval mode; it is not changed.
        squash: whether the image is stretched to the square input (SAM 2) or placed in its upper
            left corner (SAM).
        side: side of the square input in pixels.
        mask_side: side in pixels of the square in which the model takes a rough mask.

    Example:
        >>> segmenter = SamSegmenter.load("facebook/sam-vit-base")           # doctest: +SKIP
    """

    model: nn.Module
    squash: bool
    side: int
    mask_side: int

    @classmethod
    def load(cls, name: str | Path, *, device: str = "auto") -> SamSegmenter:
        """Load a SAM or SAM 2 model by its hub name or from a local folder.

        Args:
            name: hub name such as "facebook/sam-vit-base" or "facebook/sam2.1-hiera-tiny", or a
                folder in the format of transformers.
            device: "auto", "cpu", "cuda", "cuda:1" or "mps".

        Raises:
            WeightsError: if the weights cannot be found, fetched or read.
            UnsupportedModelError: if the model is of another type.
            InputError: if this machine does not have the device.
            MissingExtraError: if transformers is not installed.
        """
        torch_device = resolve_device(device)
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
            except Exception as fetch_error:
                raise could_not_fetch(
                    source, one_line(fetch_error), advice=_ADVICE
                ) from fetch_error
        with converting_errors(source):
            return cls.wrap(model.to(torch_device).eval())

    @classmethod
    def wrap(cls, model: nn.Module) -> SamSegmenter:
        """Return a segmenter that uses a model in memory.

        Args:
            model: a SamModel or Sam2Model of transformers in eval mode.

        Raises:
            UnsupportedModelError: if it is neither a SamModel nor a Sam2Model.
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
    def __call__(self, image: InputImage, prompts: Sequence[Prompt], /) -> list[Candidates]:
        """Return three candidate masks for each prompt; see `Segmenter`."""
        if not prompts:
            return []
        model: Any = self.model
        frame = SquareFrame.of(image.size, self.side, squash=self.squash)
        embedding = model.get_image_embeddings(self._on_model(frame.pixels(image)[None]))
        candidates = []
        for prompt in prompts:
            output = model(
                image_embeddings=embedding, multimask_output=True, **self._inputs(prompt, frame)
            )
            logits = frame.restore(output.pred_masks[0, 0].float())  # (K, H, W)
            scores = output.iou_scores[0, 0].float().cpu()
            candidates.append(Candidates(masks=(logits > 0).cpu(), scores=scores))
        return candidates

    @torch.no_grad()
    def image_attention(self, image: InputImage, /) -> ImageAttention:
        """Return the attention of the last global block of the encoder; see `DenseSegmenter`.

        The sides of the image are rounded to whole cells of the square.

        Raises:
            UnsupportedModelError: if the model is a SAM 2, whose encoder has no block at the
                resolution of its output that attends to the whole image.
        """
        if self.squash:
            raise UnsupportedModelError(
                "SAM 2 has no attention of all pairs of cells. Use a SAM model such as "
                "facebook/sam-vit-base."
            )
        model: Any = self.model
        cell = 4 * self.side // self.mask_side
        frame = SquareFrame.of(image.size, self.side, squash=False, multiple_of=cell)
        grid = PatchGrid(rows=frame.content.height // cell, columns=frame.content.width // cell)
        pixels = self._on_model(frame.pixels(image)[None])
        return sam_attention(model.vision_encoder, pixels, grid)

    def _inputs(self, prompt: Prompt, frame: SquareFrame) -> dict[str, Tensor]:
        """The prompt as arguments of the model, in pixels of the square."""
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
            rough_mask = frame.place_maps(prompt.logits[None, None], self.mask_side)
            inputs["input_masks"] = self._on_model(rough_mask)
        return inputs

    def _on_model(self, values: Tensor) -> Tensor:
        """Values on the device and in the dtype of the model."""
        weights = next(self.model.parameters())
        return values.to(weights.device, weights.dtype)


def _load(source: str, *, local_files_only: bool) -> nn.Module:
    """Load a model with transformers, whose exceptions the caller converts."""
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
    if report["missing_keys"]:  # transformers would use random weights instead
        raise not_usable(source, f"weights missing for {sorted(report['missing_keys'])[0]}")
    loaded: nn.Module = model
    return loaded
