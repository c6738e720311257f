"""Lists of files: lines of a list, missing files, and the hash of a list."""

import pytest

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.files.listing import check_files, listed, read_lines


def test_lines(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\n one \n\ntwo\n")
    assert read_lines(path) == ["one", "two"]
    path.write_text(" \n")
    with pytest.raises(InputError, match=r"list\.txt: .*empty"):
        read_lines(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"list\.txt: cannot be read"):
        read_lines(path)


def test_missing_files_are_counted_and_named(tmp_path):
    for name in "abc":
        (tmp_path / name).touch()
    check_files([tmp_path / name for name in "abc"], "x")
    with pytest.raises(InputError, match=r"^x: 4 of 6 are missing \(d, e, f, \.\.\.\)"):
        check_files([*(tmp_path / name for name in "abdef"), tmp_path / "other/g"], "x")


def test_the_record_of_files_changes_with_any_of_them():
    assert len({listed(stems) for stems in (["a", "b"], ["b", "a"], ["ab"], ["a", "c"])}) == 4
    assert listed(["ab", "c"]) != listed(["a", "bc"])
    assert listed(["\udcff"]).startswith("1 (")  # a name that is no UTF-8
