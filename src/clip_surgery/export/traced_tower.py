"""An image tower with its method as one module, and that module as one graph.

Pixels in [0, 1] go in and unit-length features come out: normalisation lies inside, so a user of
the file cannot get it wrong. The graph is traced once and serves any batch and any rectangle of
whole patches, because position embeddings are interpolated in it. Weights are shared with the
model while the graph is made, and the model is not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.functional import normalize
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.method import Method
from clip_surgery.methods.registry import METHODS

LEAST_PATCHES = 2
"""Patches a side that a traced graph needs: torch treats a side of one as another graph."""
MOST_BATCH, MOST_PATCHES = 65536, 4096

RunTower = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Pixels (B, 3, H, W) in [0, 1] to patch features (B, P, D) and image features (B, D)."""


class ImageTower(nn.Module):
    """Pixels (B, 3, H, W) float32 in [0, 1] to patch features (B, P, D) and image feature (B, D).

    Both are float32 and of unit length; patches run row by row. It holds only those parts of the
    model that the walk reads, so an export does not carry the text tower.

    Raises:
        InputError: when the method is none that gives every patch a feature.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> from clip_surgery.methods.clip_surgery import ClipSurgery
        >>> tower = ImageTower(load_backbone("demo"), ClipSurgery())
        >>> patches, image = tower(torch.rand(1, 3, 96, 128))
        >>> patches.shape[:2], len(image)
        (torch.Size([1, 192]), 1)
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, method: Method) -> None:
        super().__init__()
        self.backbone, self.method = backbone, dense(method)
        self.dtype, self.training = backbone.dtype, False
        for name in ("mean", "std"):
            channels = torch.tensor(
                getattr(backbone, f"image_{name}"), dtype=torch.float32, device=backbone.device
            )
            self.register_buffer(name, channels.view(1, 3, 1, 1))
        example = self.example()
        self.parts = nn.ModuleList(parts_read(backbone.model, lambda: self(example)))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Walk and bring to unit length."""
        normalised = ((pixels - self.mean) / self.std).to(self.dtype)
        features = self.method.features(self.backbone.tower, normalised)
        return (
            normalize(features.patches.float(), dim=-1),
            normalize(features.image.float(), dim=-1),
        )

    def example(self, batch: int = 2, rows: int = 3, columns: int = 5) -> Tensor:
        """Grey pixels of so many patches, to trace with."""
        side = self.backbone.tower.patch_size
        return torch.full((batch, 3, rows * side, columns * side), 0.5, device=self.backbone.device)


def dense(method: Method) -> DenseMethod:
    """The method, if it gives every patch a feature.

    Raises:
        InputError: naming those that do.
    """
    if isinstance(method, DenseMethod):
        return method
    known = [name for name, cls in METHODS.items() if issubclass(cls, DenseMethod)]
    raise InputError(
        f"Expected a method that gives every patch a feature ({', '.join(known)}), "
        f"but got {getattr(method, 'name', method)}: it has no graph of its own to export."
    )


def trace_tower(tower: ImageTower) -> ExportedProgram:
    """The tower as one graph with batch, rows and columns left open.

    Raises:
        UnsupportedModelError: when torch cannot trace it, with torch's reason.
    """
    side = tower.backbone.tower.patch_size
    rows, columns = (Dim(n, min=LEAST_PATCHES, max=MOST_PATCHES) for n in ("rows", "columns"))
    shape = {0: Dim("batch", min=1, max=MOST_BATCH), 2: side * rows, 3: side * columns}
    try:
        with torch.no_grad():
            return torch.export.export(
                tower, (tower.example(),), dynamic_shapes={"pixels": shape}, strict=False
            )
    except Exception as error:  # torch raises a family of its own for what it cannot trace
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedModelError(
            f"{tower.backbone.name}: torch.export cannot trace this image tower with "
            f"{tower.method.name} ({reason[0]})."
        ) from error


@contextmanager
def reasons(path: Path, library: str) -> Iterator[None]:
    """Turn whatever a library raises about a file (its errors share no class) into one line.

    Raises:
        InputError: naming the file.
    """
    try:
        yield
    except Exception as error:
        told = " ".join(str(error).split())
        raise InputError(f"{path}: {library} cannot run it ({told}).") from error


def parts_read(model: nn.Module, run: Callable[[], object]) -> list[nn.Module]:
    """The topmost modules whose own parameters or buffers are read while `run` runs.

    Which these are the adapters alone know; they read them as they walk, so one walk shows.
    """
    watch = _Watch()
    with torch.no_grad(), watch:
        run()
    owners: dict[str, nn.Module] = {}
    for name, module in model.named_modules():  # a module comes before what it holds
        own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        inside = any(name.startswith(f"{owner}.") or not owner for owner in owners)
        if not inside and any(id(tensor) in watch.seen for tensor in own):
            owners[name] = module
    return list(owners.values())


class _Watch(TorchFunctionMode):
    """Remembers every tensor that a torch function was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.seen.update(map(id, tree_leaves((args, kwargs))))
        return func(*args, **kwargs)
