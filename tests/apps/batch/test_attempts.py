import pytest

from clip_surgery.apps.batch.attempts import Attempt
from clip_surgery.errors import ClipSurgeryError


def test_an_attempt_that_ends_leaves_nothing(tmp_path):
    for _ in range(20):
        attempt = Attempt.begin(tmp_path, 3)
        assert not attempt.one_by_one
        attempt.end()
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_kills_twice_alone_is_found(tmp_path):
    for _ in range(2):
        assert not Attempt.begin(tmp_path, 3).one_by_one
    for _ in range(2):
        attempt = Attempt.begin(tmp_path, 3)
        assert attempt.one_by_one
        assert attempt.bad == ()
        attempt.at_picture(11)
        attempt.at_picture(12)
    for _ in range(2):
        attempt = Attempt.begin(tmp_path, 3)
        assert attempt.bad == (12,)
        attempt.at_picture(14)
    assert Attempt.begin(tmp_path, 3).bad == (12, 14)


def test_two_pictures_that_killed_once_are_innocent(tmp_path):
    for index in (None, None, 5, 6, 5, 6):
        attempt = Attempt.begin(tmp_path, 3)
        if index is not None:
            attempt.at_picture(index)
    assert Attempt.begin(tmp_path, 3).bad == ()


def test_shards_do_not_share_attempts(tmp_path):
    for _ in range(3):
        Attempt.begin(tmp_path, 3)
    assert not Attempt.begin(tmp_path, 4).one_by_one


def test_too_many_deaths(tmp_path):
    for _ in range(6):
        Attempt.begin(tmp_path, 3)
    with pytest.raises(ClipSurgeryError, match="died 6 times over part 3"):
        Attempt.begin(tmp_path, 3)


def test_too_many_bad_pictures(tmp_path):
    for _ in range(2):
        Attempt.begin(tmp_path, 3)
    for index in range(9):
        for _ in range(2):
            Attempt.begin(tmp_path, 3).at_picture(index)
    with pytest.raises(ClipSurgeryError, match="died 20 times"):
        Attempt.begin(tmp_path, 3)


def test_a_note_that_was_cut_off_counts_as_a_death(tmp_path):
    attempt = Attempt.begin(tmp_path, 3)
    for text in ("", '{"deaths": 1', "[]", '{"depth": 1}'):
        attempt.path.write_text(text)
        assert Attempt.begin(tmp_path, 3).deaths == 1
