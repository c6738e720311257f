import pickle

import pytest

from clip_surgery.errors import (
    ClipSurgeryError,
    InputError,
    MissingExtraError,
    UnknownNameError,
    UnsupportedModelError,
    WeightsError,
)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (InputError, ValueError),
        (UnknownNameError, ValueError),
        (UnsupportedModelError, TypeError),
        (WeightsError, OSError),
        (MissingExtraError, ImportError),
    ],
)
def test_every_error_is_also_a_built_in_error(error, builtin):
    assert issubclass(error, ClipSurgeryError)
    with pytest.raises(builtin, match=r"^reason$"):
        raise error("reason")


def test_unknown_name_lists_near_names_then_all():
    error = UnknownNameError.among("method", "gen", {"gem": 1, "clip_surgery": 2})
    assert str(error) == "Unknown method 'gen'. Did you mean 'gem'? Known: clip_surgery, gem."
    error = UnknownNameError.among("method", "xyz", ["gem", "clip_surgery"])
    assert str(error) == "Unknown method 'xyz'. Known: clip_surgery, gem."


def test_missing_extra_is_the_pip_command():
    error = MissingExtraError.of("transformers", "transformers")
    assert "pip install 'clip-surgery[transformers]'" in str(error)


def test_an_unsupported_model_is_described_by_fields():
    error = UnsupportedModelError(
        "x needs y. Methods that work with z: a.",
        purpose="x",
        part="y",
        alternatives=("a",),
        problem="x needs y.",
    )
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert (one.purpose, one.part, one.alternatives) == ("x", "y", ("a",))
        assert one.problem == "x needs y."
    assert UnsupportedModelError("alone").problem == "alone"
