"""A method that breaks one contract is caught, and the error names the contract."""

import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace

import pytest
import torch

from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.methods.gem import Gem
from clip_surgery.methods.rollout import Rollout
from clip_surgery.methods.similarity import Similarity
from clip_surgery.testing import METHOD_CONTRACTS, check_method, tiny_backbones
from clip_surgery.testing.model_state import model_state, state_differences


@pytest.fixture(scope="module")
def backbones():
    return tiny_backbones(["open_clip"])


@dataclass(frozen=True, kw_only=True)
class Broken(Similarity):
    """A correct method, whose subclasses change its evidence."""

    name = "broken"
    paper = "none"

    def __call__(self, backbone, pixels, texts):
        return self.change(super().__call__(backbone, pixels, texts), backbone, pixels, texts)

    def change(self, evidence, backbone, pixels, texts):
        return evidence


class NanInPatches(Broken):
    def change(self, evidence, *_):
        return replace(evidence, patches=evidence.patches * float("nan"))


class FailsOnOnePatch(Broken):
    def change(self, evidence, *_):
        if evidence.grid.patches == 1:
            raise ZeroDivisionError("no neighbours")
        return evidence


class WrongGrid(Broken):
    def change(self, evidence, *_):
        grid = replace(evidence.grid, rows=evidence.grid.columns, columns=evidence.grid.rows)
        return replace(evidence, grid=grid)


class WrongType(Broken):
    def change(self, evidence, *_):
        return replace(evidence, patches=evidence.patches.double())


class KeepsGraph(Broken):
    needs_gradient = True


class FlatForOneText(Broken):
    def change(self, evidence, backbone, pixels, texts):
        return replace(evidence, patches=evidence.patches * (len(texts.texts) > 1))


class OwnImageScore(Broken):
    def change(self, evidence, *_):
        return replace(evidence, image=evidence.image * 100)


class ScaledOverTheBatch(Broken):
    def change(self, evidence, *_):
        return replace(evidence, patches=evidence.patches / evidence.patches.abs().max())


class FavoursTheFirstImage(Broken):
    def change(self, evidence, *_):
        factors = torch.ones(len(evidence.patches), 1, 1)
        factors[0] = 1 if len(evidence.patches) == 1 else 2
        return replace(evidence, patches=evidence.patches * factors)


class FavoursTheFirstText(Broken):
    def change(self, evidence, *_):
        factors = 1 + torch.arange(evidence.patches.shape[1]).view(1, -1, 1)
        return replace(evidence, patches=evidence.patches * factors)


class Random(Broken):
    def change(self, evidence, *_):
        noise = torch.rand(evidence.patches.shape, generator=torch.Generator().manual_seed(SEED[0]))
        SEED[0] += 1
        return replace(evidence, patches=evidence.patches + noise)


class ConsumesRandomNumbers(Broken):
    def change(self, evidence, *_):
        torch.rand(1)
        return evidence


class ChangesPixels(Broken):
    def change(self, evidence, backbone, pixels, texts):
        pixels.mul_(2)
        return evidence


class LeavesGradientsOff(Broken):
    needs_gradient = True

    def change(self, evidence, *_):
        torch.set_grad_enabled(False)
        return replace(
            evidence,
            patches=evidence.patches.detach(),
            similarity=None,
            image=evidence.image.detach(),
        )


class ChangesWeights(Broken):
    def change(self, evidence, backbone, *_):
        with torch.no_grad():
            next(backbone.model.parameters()).add_(1e-7)
        return evidence


class LeavesHook(Broken):
    def change(self, evidence, backbone, *_):
        backbone.model.register_forward_hook(lambda *_: None)
        return evidence


class LeavesHookAfterError(Broken):
    def __call__(self, backbone, pixels, texts):
        hook = backbone.model.visual.conv1.register_forward_hook(lambda *_: None)
        evidence = super().__call__(backbone, pixels, texts)
        hook.remove()
        return evidence


class HidesErrors(Broken):
    def __call__(self, backbone, pixels, texts):
        try:
            return super().__call__(backbone, pixels, texts)
        except RuntimeError:
            [whole] = tiny_backbones(["open_clip"]).values()
            return super().__call__(whole, pixels, texts)


class ModelCalledWithHook(Broken):
    """Calls the model itself; an error in a module of the model leaves the hook behind."""

    def change(self, evidence, backbone, pixels, texts):
        hook = backbone.model.visual.ln_post.register_forward_hook(lambda *_: None)
        backbone.model.encode_image(pixels)
        hook.remove()
        return evidence


class HoldsResults(Broken):
    def change(self, evidence, *_):
        HELD["evidence"] = evidence
        return evidence


class HoldsState(Broken):
    """Writes the images of a call where another thread reads them."""

    def __call__(self, backbone, pixels, texts):
        HELD["pixels"] = pixels
        if threading.current_thread() is not threading.main_thread():
            BARRIER.wait()
        return super().__call__(backbone, HELD["pixels"], texts)


class IgnoresRedundancy(Broken):
    def __call__(self, backbone, pixels, texts):
        return Similarity()(backbone, pixels, texts)


class HalfPrecisionOverflows(Broken):
    def change(self, evidence, backbone, *_):
        noise = torch.rand(evidence.patches.shape) * (backbone.dtype != torch.float32)
        return replace(evidence, patches=evidence.patches + 100 * noise)


@dataclass(frozen=True, kw_only=True)
class HiddenSetting(Broken):
    factor: float = field(default=1.0, repr=False)


class WithoutPaper(Broken):
    paper = ""


@dataclass
class NotFrozen:
    name = "broken"
    paper = "none"
    needs_gradient = False

    def __call__(self, backbone, pixels, texts):
        return Similarity()(backbone, pixels, texts)


class RefusesEverything(Broken):
    def __call__(self, backbone, pixels, texts):
        raise UnsupportedModelError("not today")


class AdvisesItself(Broken):
    def __call__(self, backbone, pixels, texts):
        raise UnsupportedModelError("not today", alternatives=("gem", "broken"))


SEED = [0]
HELD = {}
BARRIER = threading.Barrier(8)

CASES = [
    (NanInPatches, "shapes", "finite patches"),
    (FailsOnOnePatch, "shapes", "no error, but got ZeroDivisionError: no neighbours"),
    (WrongGrid, "shapes", r"a grid of \(2, 5\)"),
    (WrongType, "types", "patches of torch.float32, but got torch.float64"),
    (KeepsGraph, "types", "without a graph"),
    (FlatForOneText, "one text", "a flat map"),
    (OwnImageScore, "image score", "CLIP's cosine"),
    (ScaledOverTheBatch, "batch", "scores of image 0 alone"),
    (FavoursTheFirstImage, "batch", "scores of image 0 alone"),
    (FavoursTheFirstImage, "order of images", "in the images' order"),
    (FavoursTheFirstText, "order of texts", "in the order of the texts"),
    (Random, "determinism", "larger image in between"),
    (ConsumesRandomNumbers, "inputs unchanged", "random generator"),
    (ChangesPixels, "inputs unchanged", "unchanged pixels"),
    (LeavesGradientsOff, "inputs unchanged", "the gradient mode of the caller"),
    (ChangesWeights, "model unchanged", "changes of weight .*versions of weights"),
    (LeavesHook, "model unchanged", "changes of hooks"),
    (LeavesHookAfterError, "model unchanged after an error", "changes of hooks"),
    (ModelCalledWithHook, "model unchanged after an error", "changes of hooks"),
    (HidesErrors, "model unchanged after an error", "to reach the caller"),
    (HoldsResults, "memory freed", r"no tensor of a call .*\(2, 3, 16\)"),
    (HoldsState, "threads", "calls one after another"),
    (IgnoresRedundancy, "redundancy", "redundancy='labels' to change the scores"),
    (HalfPrecisionOverflows, "half precision", "within a tenth"),
    (NotFrozen, "settings", "a frozen dataclass"),
    (HiddenSetting, "settings", "a repr with factor"),
    (WithoutPaper, "settings", "a `paper` that says the source"),
    (RefusesEverything, "shapes", "it refused all of them"),
]


@pytest.fixture(autouse=True)
def _gradient_mode():
    yield
    torch.set_grad_enabled(True)
    HELD.clear()


@pytest.mark.parametrize(("cls", "contract", "message"), CASES)
def test_a_broken_contract_is_caught_and_named(cls, contract, message):
    subject = r"broken( on open_clip)?"
    with pytest.raises(AssertionError, match=rf"{subject} breaks the contract '{contract}': .*"):
        check_method(cls, tiny_backbones(["open_clip"]), contracts=[contract])
    with pytest.raises(AssertionError, match=message):
        check_method(cls, tiny_backbones(["open_clip"]), contracts=[contract])


def test_every_contract_has_a_method_that_breaks_it():
    assert {contract for _, contract, _ in CASES} == set(METHOD_CONTRACTS)


def test_the_method_that_the_broken_ones_are_made_of_keeps_all_contracts(backbones):
    check_method(Broken(), backbones)


def test_a_method_may_not_advise_itself(backbones):
    with pytest.raises(AssertionError, match=r"'refusal'.*alternatives to broken"):
        check_method(AdvisesItself(), backbones)


def test_a_method_that_needs_a_class_token_must_refuse_a_tower_without_one():
    class Forgetful(Broken):
        needs = frozenset({"class token"})

        def __call__(self, backbone, pixels, texts):
            return Similarity()(backbone, pixels, texts)

    backbones = tiny_backbones(["open_clip", "timm_siglip"])
    with pytest.raises(AssertionError, match="broken on timm_siglip breaks"):
        check_method(Forgetful(), backbones, contracts=["shapes"])
    check_method(Rollout(), backbones, contracts=["shapes"])


@pytest.mark.parametrize("method", ["gem", Gem, Gem(depth=2), "gem(depth=2)"])
def test_a_method_is_given_by_name_class_or_instance(method, backbones):
    check_method(method, backbones, contracts=["shapes"])


@pytest.mark.parametrize(
    ("arguments", "contracts", "error", "message"),
    [
        (("gme",), ["shapes"], UnknownNameError, "gem"),
        ((3,), ["shapes"], InputError, "3"),
        (("gem",), ["shape"], UnknownNameError, "Unknown contract 'shape'.*'shapes'"),
    ],
)
def test_unknown_names_are_refused(arguments, contracts, error, message):
    with pytest.raises(error, match=message):
        check_method(*arguments, contracts=contracts)


def test_default_backbones_are_one_of_each_mechanism():
    backbones = tiny_backbones()
    assert [backbone.name for backbone in backbones.values()] == list(backbones)
    towers = [backbone.tower for backbone in backbones.values()]
    assert any(tower.attention_pool for tower in towers)
    assert any(tower.prefix_tokens == 0 for tower in towers)
    assert any(tower.blocks_at is not None for tower in towers)
    with pytest.raises(UnknownNameError, match="'open_clip'"):
        tiny_backbones(["openclip"])


def test_backbones_are_new_and_leave_the_random_generator_alone():
    before = torch.get_rng_state()
    [first], [second] = (
        tiny_backbones(["open_clip"]).values(),
        tiny_backbones(["open_clip"]).values(),
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert first.model is not second.model
    assert not state_differences(model_state(first.model), model_state(second.model))


@pytest.mark.slow
def test_importing_the_checks_loads_neither_pytest_nor_a_model_library():
    code = (
        "import sys, clip_surgery.testing;"
        "print(sorted({'pytest', 'open_clip', 'timm', 'transformers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr
