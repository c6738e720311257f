"""Combine an image tower and its method in one module, and trace it as one graph.

The input is pixels in [0, 1] and the output features of unit length. Normalisation of pixels is
part of the graph, so that a program cannot do it wrong. The graph is traced once and works for any
batch size and any rectangle of whole patches, because position embeddings are interpolated in it.
The module shares its weights with the model, which is not changed.
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

MIN_PATCHES = 2
"""Smallest number of rows and columns of patches; torch would need another graph for one."""
MAX_BATCH, MAX_PATCHES = 65536, 4096
"""Largest batch size, and largest number of rows and columns of patches."""

RunTower = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A function of pixels (B, 3, H, W) in [0, 1] that returns patch features (B, P, D) and image
features (B, D), both of unit length.
"""


class ImageTower(nn.Module):
    """A module that maps pixels to patch features and image features.

    Its submodules are only those parts of the model that the computation uses, so that an export
    does not contain the text tower.

    Args:
        backbone: the model.
        method: a dense method, which computes a feature for every patch.

    Raises:
        InputError: if the method is not a dense one.

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
        self.backbone, self.method = backbone, require_dense(method)
        self.dtype, self.training = backbone.dtype, False
        for name in ("mean", "std"):
            channels = torch.tensor(
                getattr(backbone, f"image_{name}"), dtype=torch.float32, device=backbone.device
            )
            self.register_buffer(name, channels.view(1, 3, 1, 1))
        example = self.example()
        self.parts = nn.ModuleList(modules_used(backbone.model, lambda: self(example)))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of unit length, float32.

        Args:
            pixels: (B, 3, H, W) float32 in [0, 1], sides of whole patches.

        Returns:
            Patch features (B, P, D), row by row, and image features (B, D).
        """
        normalised = ((pixels - self.mean) / self.std).to(self.dtype)
        features = self.method.features(self.backbone.tower, normalised)
        return (
            normalize(features.patches.float(), dim=-1),
            normalize(features.image.float(), dim=-1),
        )

    def example(self, batch: int = 2, rows: int = 3, columns: int = 5) -> Tensor:
        """Return grey pixels with this number of images and of rows and columns of patches."""
        side = self.backbone.tower.patch_size
        return torch.full((batch, 3, rows * side, columns * side), 0.5, device=self.backbone.device)


def require_dense(method: Method) -> DenseMethod:
    """Return the method if it is a dense one, which computes a feature for every patch.

    Raises:
        InputError: if it is not, or its features depend on the texts or on a companion; the message
            names the methods that can be exported.
    """
    if isinstance(method, DenseMethod) and _needs_the_tower_alone(type(method)):
        return method
    known = [
        name
        for name, cls in METHODS.items()
        if issubclass(cls, DenseMethod) and _needs_the_tower_alone(cls)
    ]
    raise InputError(
        "Expected a method that computes a feature for every patch without texts or a companion "
        f"({', '.join(known)}), "
        f"but got {getattr(method, 'name', method)}, which cannot be exported."
    )


def _needs_the_tower_alone(method: type[DenseMethod]) -> bool:
    return not method.features_need_texts and "companion" not in method.needs


def trace_tower(tower: ImageTower) -> ExportedProgram:
    """Return the tower as one graph for any batch size and any number of rows and columns.

    Raises:
        UnsupportedModelError: if torch cannot trace the tower; the message has the reason of torch.
    """
    side = tower.backbone.tower.patch_size
    rows, columns = (Dim(n, min=MIN_PATCHES, max=MAX_PATCHES) for n in ("rows", "columns"))
    shape = {0: Dim("batch", min=1, max=MAX_BATCH), 2: side * rows, 3: side * columns}
    failure = (
        f"{tower.backbone.name}: torch.export cannot trace this image tower with "
        f"{tower.method.name}"
    )
    return traced(tower, tower.example(), {"pixels": shape}, failure=failure)


def traced(
    module: nn.Module, example: Tensor, shapes: dict[str, dict[int, Any]], *, failure: str
) -> ExportedProgram:
    """Return a module as one graph.

    Args:
        module: a module with one input.
        example: an input.
        shapes: the dimensions of the input that may change, by its name.
        failure: beginning of the message of an error, which ends with the reason of torch.

    Raises:
        UnsupportedModelError: if torch cannot trace it.
    """
    try:
        with torch.no_grad():
            program = torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch raises many classes of errors here
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedModelError(f"{failure} ({reason[0]}).") from error
    # torch writes the stack trace of each node into files, with the folders of this machine.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


@contextmanager
def one_line_errors(path: Path, library: str) -> Iterator[None]:
    """Convert all errors of a library that runs a file to an InputError of one line.

    The errors of these libraries have no common class.

    Args:
        path: the file, for the message.
        library: name of the library, for the message.

    Raises:
        InputError: if the block raises an error.
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: {library} cannot run it ({reason}).") from error


def modules_used(model: nn.Module, run: Callable[[], object]) -> list[nn.Module]:
    """Return the topmost modules of which a parameter or buffer is used while `run` runs.

    Only the adapters know which modules they use, therefore this is observed in one run.

    Args:
        model: the model.
        run: function that runs the image tower.
    """
    recorder = _TensorRecorder()
    with torch.no_grad(), recorder:
        run()
    used: dict[str, nn.Module] = {}
    for name, module in model.named_modules():  # a module comes before its submodules
        tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        inside = any(name.startswith(f"{parent}.") or not parent for parent in used)
        if not inside and any(id(tensor) in recorder.seen for tensor in tensors):
            used[name] = module
    return list(used.values())


class _TensorRecorder(TorchFunctionMode):
    """Records the identity of every tensor that is an argument of a torch function."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.seen.update(map(id, tree_leaves((args, kwargs))))
        return func(*args, **kwargs)
