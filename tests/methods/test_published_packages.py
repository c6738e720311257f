"""GEM, LeGrad and Grad-CAM against the packages their authors (or the field) published.

Optional: the packages pin old versions, so they live in a folder of their own, never in the
environment of this project:

    pip install --target /tmp/published --no-deps gem_torch==1.0.1 legrad_torch==1.1 \
        grad-cam==1.5.7 einops opencv-python-headless ttach scikit-learn joblib threadpoolctl \
        cloudpickle narwhals
    PYTHONPATH=/tmp/published pytest tests/methods/test_published_packages.py

They were written for open_clip before 2.24, whose blocks took tokens first; `_tokens_first`
gives that convention back to the model they wrap. Without it they run and mix up the axes.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.methods.gem import Gem
from clip_surgery.methods.grad_cam import GradCam
from clip_surgery.methods.legrad import LeGrad
from tests.methods.naive import SIDE, labels, random_images
from tests.towers import tiny_open_clip

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's code, not ours to mend


def published(module):
    reason = f"{module} is not importable; this file's docstring says how to install it apart"
    return pytest.importorskip(module, reason=reason, exc_type=ImportError)


def _tokens_first(model):
    for block in model.visual.transformer.resblocks:
        block.attn.batch_first = False
    return model


def ours(method, texts):
    """Maps (1, C, rows, columns) of one image."""
    evidence = method(wrap_backbone(tiny_open_clip()), random_images(1).float(), texts)
    return evidence.grid.to_map(evidence.patches)


def resized(maps):
    side = SIDE * 8
    return F.interpolate(maps, size=(side, side), mode="bilinear")


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("iterations", [1, 2])
def test_gem_is_gem_torch(depth, iterations):
    """Its `depth` counts one more than the blocks it changes. Largest difference seen: 1.5e-7."""
    gem = published("gem")
    texts = labels()
    wrapper = gem.gem_wrapper.GEMWrapper(
        _tokens_first(tiny_open_clip()), None, depth=depth + 1, ss_attn_iter=iterations
    )
    wrapper.encode_text = lambda names: texts.labels[None]
    with torch.no_grad():
        theirs = wrapper(random_images(1).float(), list(texts.texts), normalize=False)
        our_maps = resized(ours(Gem(depth=depth, iterations=iterations), texts))
    torch.testing.assert_close(our_maps, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_legrad_is_legrad_torch(depth):
    """It resizes, then min-maxes per text. Largest difference seen: 2.4e-7."""
    legrad = published("legrad")
    texts = labels()
    wrapper = legrad.LeWrapper(_tokens_first(tiny_open_clip()), layer_index=-depth)
    theirs = wrapper.compute_legrad(texts.labels, random_images(1).float()).detach()
    our_maps = resized(ours(LeGrad(depth=depth), texts))
    low, high = our_maps.amin((-2, -1), keepdim=True), our_maps.amax((-2, -1), keepdim=True)
    torch.testing.assert_close((our_maps - low) / (high - low), theirs, atol=2e-6, rtol=0)


class Scores(nn.Module):
    """Cosines of images with fixed texts, as a classifier."""

    def __init__(self, model, labels):
        super().__init__()
        self.model, self.labels = model, labels

    def forward(self, pixels):
        return F.normalize(self.model.encode_image(pixels), dim=-1) @ self.labels.T


def test_grad_cam_is_pytorch_grad_cam():
    """Before its resize by OpenCV, which is not bilinear as torch's. Largest difference: 3e-9."""
    package = published("pytorch_grad_cam")
    targets = published("pytorch_grad_cam.utils.model_targets")
    texts, pixels = labels(), random_images(1).float()
    our_maps = ours(GradCam(), texts)
    model = tiny_open_clip()
    layer = model.visual.transformer.resblocks[-1].ln_1

    def on_the_grid(tokens):
        return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, SIDE, SIDE)

    cam = package.GradCAM(Scores(model, texts.labels), [layer], reshape_transform=on_the_grid)
    for column in range(len(texts.texts)):
        target = [targets.ClassifierOutputTarget(column)]
        cam(pixels, target)
        recorded = cam.activations_and_grads
        activations, gradients = recorded.activations[0].numpy(), recorded.gradients[0].numpy()
        theirs = cam.get_cam_image(pixels, layer, target, activations, gradients, False)
        torch.testing.assert_close(
            our_maps[:, column], torch.as_tensor(theirs).relu(), atol=1e-7, rtol=1e-4
        )
    cam.activations_and_grads.release()
