"""Contract tests for methods, data sets and segmenters of your own, and small models for tests.

    from clip_surgery.testing import check_method

    def test_my_method():
        check_method(MyMethod())

A contract is a property that the rest of the library relies on, for example that a batch of images
gives the scores of the single images, or that the model is not changed. A broken contract raises
an AssertionError that names it, so that the functions can be used with any test runner, or without
one. Nothing is downloaded.
"""

from clip_surgery.testing.dataset_check import check_dataset
from clip_surgery.testing.method_check import METHOD_CONTRACTS, check_method
from clip_surgery.testing.segmenter_check import check_segmenter
from clip_surgery.testing.tiny_backbones import REPRESENTATIVES, TINY_MODELS, tiny_backbones

__all__ = [
    "METHOD_CONTRACTS",
    "REPRESENTATIVES",
    "TINY_MODELS",
    "check_dataset",
    "check_method",
    "check_segmenter",
    "tiny_backbones",
]
