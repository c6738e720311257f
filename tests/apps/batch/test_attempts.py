import pytest

from clip_surgery.apps.batch.attempts import ShardAttempt
from clip_surgery.errors import ClipSurgeryError


def test_an_attempt_that_ends_leaves_nothing(tmp_path):
    for _ in range(20):
        attempt = ShardAttempt.begin(tmp_path, 3)
        assert not attempt.is_image_by_image
        attempt.end()
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_kills_twice_alone_is_found(tmp_path):
    for _ in range(2):
        assert not ShardAttempt.begin(tmp_path, 3).is_image_by_image
    for _ in range(2):
        attempt = ShardAttempt.begin(tmp_path, 3)
        assert attempt.is_image_by_image
        assert attempt.bad == ()
        attempt.at_image(11)
        attempt.at_image(12)
    for _ in range(2):
        attempt = ShardAttempt.begin(tmp_path, 3)
        assert attempt.bad == (12,)
        attempt.at_image(14)
    assert ShardAttempt.begin(tmp_path, 3).bad == (12, 14)


def test_two_pictures_that_killed_once_are_innocent(tmp_path):
    for index in (None, None, 5, 6, 5, 6):
        attempt = ShardAttempt.begin(tmp_path, 3)
        if index is not None:
            attempt.at_image(index)
    assert ShardAttempt.begin(tmp_path, 3).bad == ()


def test_shards_do_not_share_attempts(tmp_path):
    for _ in range(3):
        ShardAttempt.begin(tmp_path, 3)
    assert not ShardAttempt.begin(tmp_path, 4).is_image_by_image


def test_too_many_deaths(tmp_path):
    for _ in range(6):
        ShardAttempt.begin(tmp_path, 3)
    with pytest.raises(ClipSurgeryError, match="died 6 times while they computed part 3"):
        ShardAttempt.begin(tmp_path, 3)


def test_too_many_bad_pictures(tmp_path):
    for _ in range(2):
        ShardAttempt.begin(tmp_path, 3)
    for index in range(9):
        for _ in range(2):
            ShardAttempt.begin(tmp_path, 3).at_image(index)
    with pytest.raises(ClipSurgeryError, match="died 20 times"):
        ShardAttempt.begin(tmp_path, 3)


def test_a_note_that_was_cut_off_counts_as_a_death(tmp_path):
    attempt = ShardAttempt.begin(tmp_path, 3)
    for text in ("", '{"deaths": 1', "[]", '{"depth": 1}'):
        attempt.path.write_text(text)
        assert ShardAttempt.begin(tmp_path, 3).deaths == 1
