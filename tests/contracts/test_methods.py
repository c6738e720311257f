"""What every method must hold, on every backbone; a new one is tested by being registered."""

import functools
import threading
from dataclasses import replace

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.registry import METHODS, as_method, method_named, setting_names
from clip_surgery.text.bank import encode_texts
from tests.towers import tiny_open_clip
from tests.zoo import TOWERS

TEXTS = ("cat", "red bus", "grass")


@pytest.fixture(scope="module", params=TOWERS)
def backbone(request):
    return wrap_backbone(TOWERS[request.param](seed=0))


@pytest.fixture(scope="module")
def texts(backbone):
    with torch.no_grad():
        return encode_texts(backbone, TEXTS, templates=("a photo of a {}.",), cache=None)


@pytest.fixture(params=METHODS)
def method(request):
    return method_named(request.param)


def pixels_for(backbone, *, rows=4, columns=4, batch=2, seed=0):
    torch.manual_seed(seed)
    side = backbone.tower.patch_size
    return torch.randn(batch, 3, rows * side, columns * side)


def explain(method, backbone, pixels, texts):
    with torch.set_grad_enabled(method.needs_gradient):
        return method(backbone, pixels, texts)


def refusal(method, backbone):
    """Why the method cannot serve the tower, found out anew from the tower's facts, or None."""
    tower = backbone.tower
    if "class token" not in getattr(method, "needs", ()):
        return None
    if tower.prefix_tokens == 0:
        return f"{method.name} needs a class token, but this image tower has none"
    if tower.pool_reads == "all":
        return f"{method.name} needs a class token, but this image feature is pooled from all"
    return None


def served(test):
    """A method that cannot serve a tower must say why, and what would: the same test then asks."""

    @functools.wraps(test)
    def run(method, backbone, texts, **others):
        reason = refusal(method, backbone)
        if reason is None:
            return test(method=method, backbone=backbone, texts=texts, **others)
        with pytest.raises(UnsupportedModelError, match=reason) as caught:
            explain(method, backbone, pixels_for(backbone, batch=1), texts)
        works = str(caught.value).partition("Methods that work with ")[2]
        assert "clip_surgery" in works
        assert method.name not in works
        return None

    return run


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (2, 5), (1, 1), (6, 3)])
@served
def test_shapes_for_squares_rectangles_and_one_patch(method, backbone, texts, rows, columns):
    pixels = pixels_for(backbone, rows=rows, columns=columns)
    evidence = explain(method, backbone, pixels, texts)
    assert (evidence.grid.rows, evidence.grid.columns) == (rows, columns)
    assert evidence.patches.shape == (2, 3, rows * columns)
    assert evidence.image.shape == (2, 3)
    assert torch.isfinite(evidence.patches).all()


@served
def test_a_batch_is_its_pictures_one_by_one(method, backbone, texts):
    pixels = pixels_for(backbone, batch=3)
    together = explain(method, backbone, pixels, texts)
    for row in range(3):
        alone = explain(method, backbone, pixels[row : row + 1], texts)
        torch.testing.assert_close(together.patches[row], alone.patches[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together.image[row], alone.image[0])


@served
def test_the_image_score_is_clips_own_cosine(method, backbone, texts):
    pixels = pixels_for(backbone)
    evidence = explain(method, backbone, pixels, texts)
    plain = explain(method_named("similarity"), backbone, pixels, texts)
    torch.testing.assert_close(evidence.image, plain.image)


@served
def test_the_model_is_left_as_it_was(method, backbone, texts):
    model = backbone.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    training = [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    explain(method, backbone, pixels_for(backbone, rows=5, columns=3), texts)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert training == [module.training for module in model.modules()]
    assert flags == [parameter.requires_grad for parameter in model.parameters()]
    assert all(parameter.grad is None for parameter in model.parameters())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks


@served
def test_a_larger_picture_between_changes_nothing(method, backbone, texts):
    small = pixels_for(backbone)
    first = explain(method, backbone, small, texts)
    explain(method, backbone, pixels_for(backbone, rows=9, columns=7), texts)
    second = explain(method, backbone, small, texts)
    assert torch.equal(first.patches, second.patches)


@served
def test_threads_share_a_model(method, backbone, texts):
    shapes = [(4, 4), (3, 6), (4, 4), (5, 2)] * 2
    inputs = [pixels_for(backbone, rows=r, columns=c, seed=i) for i, (r, c) in enumerate(shapes)]
    expected = [explain(method, backbone, pixels, texts).patches for pixels in inputs]
    found = [None] * len(inputs)

    def work(index):
        found[index] = explain(method, backbone, inputs[index], texts).patches

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", METHODS)
def test_half_precision_stays_near(name, dtype):
    method = method_named(name)
    model = tiny_open_clip(seed=0)
    full = wrap_backbone(model)
    half = wrap_backbone(tiny_open_clip(seed=0).to(dtype))
    pixels = pixels_for(full)
    with torch.no_grad():
        features = encode_texts(full, TEXTS, templates=("{}",), cache=None)
    reference = explain(method, full, pixels, features)
    near = explain(method, half, pixels.to(dtype), features)
    assert near.patches.dtype == torch.float32
    assert torch.isfinite(near.patches).all()
    span = reference.patches.max() - reference.patches.min()
    assert (near.patches - reference.patches).abs().max() < 0.1 * span


@served
def test_a_single_text_is_not_flat(method, backbone, texts):
    """Of a text and of its opposite: a ReLU may leave nothing of one of them."""
    with torch.no_grad():
        one = encode_texts(backbone, ("cat",), templates=("a photo of a {}.",), cache=None)
    spread = [
        explain(method, backbone, pixels_for(backbone), replace(one, labels=labels)).patches.std()
        for labels in (one.labels, -one.labels)
    ]
    assert max(spread) > 0


def test_registry_names_and_papers(method):
    assert METHODS[method.name] is type(method)
    assert method.paper
    assert as_method(method) is method
    assert as_method(method.name) == method


def test_settings_are_their_record(method):
    assert all(f"{name}=" in repr(method) for name in setting_names(type(method)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: method_named("clip_surgary"), UnknownNameError, "clip_surgery"),
        (lambda: method_named("clip_surgery", deph=3), UnknownNameError, "depth"),
        (lambda: method_named("clip_surgery", depth=-2), InputError, "-2"),
        (lambda: method_named("clip_surgery", redundancy="label"), UnknownNameError, "labels"),
        (lambda: method_named("similarity", weighting="none"), UnknownNameError, "paper"),
        (lambda: as_method(3), InputError, "3"),
        (lambda: as_method(METHODS["similarity"]), InputError, "Similarity"),
    ],
)
def test_bad_settings_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


DENSE = [name for name, cls in METHODS.items() if issubclass(cls, DenseMethod)]


@pytest.mark.parametrize("name", DENSE)
def test_dense_methods_compose_with_every_redundancy(name, backbone, texts):
    pixels = pixels_for(backbone)
    found = {
        redundancy: explain(method_named(name, redundancy=redundancy), backbone, pixels, texts)
        for redundancy in ("none", "labels", "empty text")
    }
    assert not torch.allclose(found["none"].patches, found["labels"].patches)
    assert not torch.allclose(found["none"].patches, found["empty text"].patches)
    if found["none"].similarity is not None:
        torch.testing.assert_close(found["none"].similarity, found["labels"].similarity)
    with pytest.raises(InputError, match="reference words"):
        explain(method_named(name, redundancy="vocabulary"), backbone, pixels, texts)
