import pytest

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.inputs.vocabulary import common_nouns, resolve_vocabulary


def test_common_nouns():
    nouns = common_nouns()
    assert 300 <= len(nouns) <= 1000
    assert len(set(nouns)) == len(nouns)
    assert all(noun == noun.strip().lower() and "#" not in noun for noun in nouns)


def test_resolve_vocabulary():
    assert resolve_vocabulary(None) is None
    assert resolve_vocabulary("common") == common_nouns()
    assert resolve_vocabulary("common", known=("dog",)) == ("dog",)
    assert resolve_vocabulary(["boat ", "tree"], known=("dog",)) == ("boat", "tree")


@pytest.mark.parametrize(
    ("vocabulary", "error"),
    [("comon", UnknownNameError), ([], InputError), (["a", "a"], InputError)],
)
def test_invalid_vocabularies(vocabulary, error):
    with pytest.raises(error):
        resolve_vocabulary(vocabulary)
