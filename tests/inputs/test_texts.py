import pytest

from clip_surgery.errors import InputError
from clip_surgery.inputs.texts import check_texts, read_labels


@pytest.mark.parametrize(
    ("texts", "checked"),
    [
        (["bench"], ("bench",)),
        ((" bench", "person\n"), ("bench", "person")),
        (["Dog", "dog"], ("Dog", "dog")),
        ((label for label in ["a", "b"]), ("a", "b")),
        (["straße", "犬", "🐕"], ("straße", "犬", "🐕")),
    ],
)
def test_valid_texts(texts, checked):
    assert check_texts(texts) == checked


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("bench", "one string: 'bench'. For a single label, write ['bench']"),
        (b"bench", "bytes: b'bench'"),
        ([], "empty list"),
        (None, "NoneType"),
        (3, "int: 3"),
        (["bench", ""], "number 2 is ''"),
        (["\t \n"], r"number 1 is '\t \n'"),
        (["dog", None], "number 2 is NoneType: None"),
        ([b"dog"], "number 1 is bytes: b'dog'"),
        (["dog", "cat", " dog "], "'dog' is number 1 and number 3"),
    ],
)
def test_an_invalid_text_is_an_error_that_names_it(texts, message):
    with pytest.raises(InputError) as error:
        check_texts(texts)
    assert message in str(error.value)


def test_a_long_text_is_cut_in_the_message():
    with pytest.raises(InputError) as error:
        check_texts("word " * 10_000)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"bench\nperson\n", ("bench", "person")),
        (b"bench\r\n\r\n  person  ", ("bench", "person")),
        ("\ufeffbench\nFußgänger".encode(), ("bench", "Fußgänger")),
        (b"# street\nbench\n  # more\nC#\n", ("bench", "C#")),
        (b"dining table, desk\n", ("dining table, desk",)),
    ],
)
def test_labels_of_a_file(tmp_path, content, labels):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    assert read_labels(path) == labels
    assert read_labels(str(path)) == labels


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "found none"),
        (b"\n  \n# only this\n", "found none"),
        (b"\x89PNG\r\n\x1a\n", "byte 0 is not UTF-8"),
        (b"bench\0person\n", "binary"),
        ("Fußgänger\n".encode("latin-1"), "byte 2 is not UTF-8"),
        ("bench\n".encode("utf-16"), "byte 0 is not UTF-8"),
        (b"dog\ncat\ndog\n", "'dog' is number 1 and number 3"),
    ],
)
def test_an_invalid_label_file_is_an_error_that_names_it(tmp_path, content, reason):
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_labels(path)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)


def test_a_folder_is_not_a_label_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word " * 100_000, r"at most 2,000 characters, but number 1 has 499,999"),
        ("caf\udce9", "valid Unicode"),
    ],
)
def test_texts_that_cannot_be_tokenised_are_refused_with_a_short_message(text, message):
    with pytest.raises(InputError, match=message) as raised:
        check_texts([text])
    assert len(str(raised.value)) < 300


def test_a_line_of_ten_megabytes_is_refused_with_a_short_message(tmp_path):
    (tmp_path / "labels.txt").write_text("x" * 10_000_000)
    with pytest.raises(InputError, match="at most 2,000 characters") as raised:
        read_labels(tmp_path / "labels.txt")
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("path", ["a\0b.txt", "x" * 5_000])
def test_impossible_paths_of_labels_are_input_errors(path):
    with pytest.raises(InputError):
        read_labels(path)


def test_a_file_of_labels_that_is_too_large_is_refused_without_reading_it(tmp_path):
    with (tmp_path / "labels.txt").open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        read_labels(tmp_path / "labels.txt")
