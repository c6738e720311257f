"""torch.compile takes the walks and the dense methods whole, and gives the same numbers.

The wide table runs with backends that need no compiler (`eager` keeps the captured graph as it
is, `aot_eager` also traces its operations); inductor, which makes code, runs one case.
"""

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.registry import METHODS
from clip_surgery.surgery.walk import walk, walk_two_paths
from clip_surgery.text.features import TextFeatures
from tests.zoo import TOWER_PARAMS, TOWERS

DENSE = {name: cls for name, cls in METHODS.items() if issubclass(cls, DenseMethod)}
REDUNDANCIES = ("none", "labels", "empty text", "vocabulary")


@pytest.fixture(autouse=True)
def _nothing_compiled():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture(scope="module", params=TOWER_PARAMS)
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
        wanted = function(*arguments)
        found = torch.compile(function, fullgraph=True, backend=backend)(*arguments)
    for own, compiled in zip(wanted, found, strict=True):
        torch.testing.assert_close(compiled, own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("two_paths", [False, True], ids=["one path", "two paths"])
def test_walks_of_every_tower(backbone, two_paths):
    def features(pixels):
        found = (walk_two_paths if two_paths else walk)(backbone.tower, pixels)
        return found.image, found.patches

    assert_compiles(features, pixels_for(backbone), backend="eager")


@pytest.mark.parametrize("repair_outliers", [False, True], ids=["", "repaired"])
@pytest.mark.parametrize("name", DENSE)
def test_dense_methods(vision, name, repair_outliers):
    method = DENSE[name](repair_outliers=repair_outliers)

    def explain(pixels, texts):
        evidence = method(vision, pixels, texts)
        return evidence.patches, evidence.similarity, evidence.image

    assert_compiles(explain, pixels_for(vision), texts_for(vision))


@pytest.mark.parametrize("redundancy", REDUNDANCIES)
@pytest.mark.parametrize("weighting", ["reference", "paper"])
def test_feature_surgery(vision, redundancy, weighting):
    method = ClipSurgery(redundancy=redundancy, weighting=weighting)

    def explain(pixels, texts):
        evidence = method(vision, vision.normalise(pixels), texts)
        return evidence.patches, evidence.reference_log_ratios

    assert_compiles(explain, pixels_for(vision), texts_for(vision))


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


def test_inductor_makes_the_same_numbers(vision):
    def features(pixels):
        found = walk_two_paths(vision.tower, pixels)
        return found.image, found.patches

    assert_compiles(features, pixels_for(vision), backend="inductor")
