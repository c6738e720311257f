"""torch.compile captures the walks and the dense methods in one graph with the same results.

Most cases run with backends that need no compiler: `eager` runs the captured graph, `aot_eager`
also traces its operations. One case runs with inductor, which generates code.
"""

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.registry import METHODS, parse_methods
from clip_surgery.surgery.walk import walk, walk_two_paths
from clip_surgery.text.features import TextFeatures
from tests.slow_cases import slow_except
from tests.zoo import TOWERS

# Companions are models of their own, and a segmenter runs outside of torch, as do the connected
# regions of free_cp and the clusters of texts of rf_clip, which scipy finds.
DENSE = {
    name: cls
    for name, cls in METHODS.items()
    if issubclass(cls, DenseMethod)
    and "companion" not in cls.needs
    and name not in ("free_cp", "rf_clip")
}
REDUNDANCIES = ("none", "labels", "empty text", "vocabulary")


@pytest.fixture(autouse=True)
def _without_compiled_functions():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture(scope="module", params=slow_except(TOWERS, ["open_clip"]))
def backbone(request):
    return wrap_backbone(TOWERS[request.param]())


@pytest.fixture(scope="module")
def vision():
    return wrap_backbone(TOWERS["open_clip"]())


def pixels_for(backbone, batch=2, rows=3, columns=5):
    side = backbone.tower.patch_size
    return torch.randn(batch, 3, rows * side, columns * side)


def texts_for(backbone):
    width = backbone.tower.project(torch.zeros(1, 1, backbone.tower.width)).shape[-1]
    labels, empty, reference = (
        torch.nn.functional.normalize(torch.randn(*shape, width), dim=-1)
        for shape in ((3,), (), (7,))
    )
    return TextFeatures(texts=("a", "b", "c"), labels=labels, empty=empty, reference=reference)


def assert_compiles(function, *arguments, backend="aot_eager"):
    with torch.no_grad():
        expected = function(*arguments)
        compiled = torch.compile(function, fullgraph=True, backend=backend)(*arguments)
    for actual, plain in zip(compiled, expected, strict=True):
        torch.testing.assert_close(actual, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("two_paths", [False, True], ids=["one path", "two paths"])
def test_walks_of_every_tower(backbone, two_paths):
    def features(pixels):
        result = (walk_two_paths if two_paths else walk)(backbone.tower, pixels)
        return result.image, result.patches

    assert_compiles(features, pixels_for(backbone), backend="eager")


@pytest.mark.parametrize(
    "method",
    slow_except(
        [*DENSE, "clip_surgery(repair_outliers=true)", "naclip(repair_outliers=true)"],
        ["clip_surgery"],
    ),
)
def test_dense_methods(vision, method):
    [method] = parse_methods(method).values()

    def explain(pixels, texts):
        evidence = method(vision, pixels, texts)
        return evidence.patches, evidence.similarity, evidence.image

    assert_compiles(explain, pixels_for(vision), texts_for(vision), backend="eager")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redundancy", "weighting"),
    [("labels", "reference"), *((name, "paper") for name in REDUNDANCIES if name != "labels")],
)
def test_feature_surgery(vision, redundancy, weighting):
    method = ClipSurgery(redundancy=redundancy, weighting=weighting)

    def explain(pixels, texts):
        evidence = method(vision, vision.normalise(pixels), texts)
        return evidence.patches, evidence.reference_log_ratios

    assert_compiles(explain, pixels_for(vision), texts_for(vision))


@pytest.mark.slow
def test_one_graph_serves_every_rectangle(vision):
    counter = torch._dynamo.testing.CompileCounter()

    def features(pixels):
        return walk_two_paths(vision.tower, pixels).patches

    compiled = torch.compile(features, fullgraph=True, dynamic=True, backend=counter)
    grids = ((2, 3, 5), (3, 2, 6), (4, 7, 3), (2, 9, 8))
    for grid in grids:
        pixels = pixels_for(vision, *grid)
        torch.testing.assert_close(compiled(pixels), features(pixels))
    assert counter.frame_count < len(grids)


@pytest.mark.slow
def test_inductor_gives_the_same_results(vision):
    def features(pixels):
        result = walk_two_paths(vision.tower, pixels)
        return result.image, result.patches

    assert_compiles(features, pixels_for(vision), backend="inductor")
