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
def test_every_error_is_ours_and_a_builtin(error, builtin):
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
