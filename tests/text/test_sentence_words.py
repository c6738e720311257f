import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clip_surgery.errors import InputError
from clip_surgery.text.sentence_words import split_words


def texts(sentence, phrases=()):
    return [word.text for word in split_words(sentence, phrases)]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("A dog's well-known trick, isn't it?", "A|dog's|well-known|trick|,|isn't|it|?"),
        ("rock 'n' roll -- now...", "rock|'|n|'|roll|--|now|..."),
        ("ein Straßenhund im März", "ein|Straßenhund|im|März"),
        ("赤い車とネコ", "赤|い|車|と|ネコ"),
        ("一只狗, 2只猫。", "一|只|狗|,|2|只|猫|。"),
        ("빨간 자동차", "빨간|자동차"),
        ("लाल गाड़ी", "लाल|गाड़ी"),
        ("ที่นี่", "ที่|นี่"),
        ("a 🐕‍🦺!", "a|🐕‍🦺!"),
        ("cafe\u0301 au lait", "cafe\u0301|au|lait"),
        ("zqxv", "zqxv"),
    ],
)
def test_words_of_many_scripts(sentence, words):
    assert texts(sentence) == words.split("|")


def test_phrases_are_one_word_each():
    assert texts("a red car by a red car", ["red car"]) == ["a", "red car", "by", "a", "red car"]
    assert texts("一只红色的狗", ["红色"]) == ["一", "只", "红色", "的", "狗"]
    assert texts("a big red car", ["red", "red car", "big red"]) == ["a", "big red", "car"]
    assert texts("red car", ["red car"]) == ["red car"]


@pytest.mark.parametrize("phrase", ["blue car", "ed car", "", " "])
def test_a_phrase_that_is_no_part_of_the_sentence_is_refused(phrase):
    with pytest.raises(InputError, match="phrases that occur"):
        split_words("a red car", [phrase])


def test_bad_calls():
    with pytest.raises(InputError, match="list of texts"):
        split_words("a red car", "red car")
    with pytest.raises(InputError, match="sentence with words"):
        split_words(" \n ")


@given(st.text(max_size=30))
def test_words_cover_all_characters_but_white_space(sentence):
    if not sentence.strip():
        return
    words = split_words(sentence)
    assert "".join(word.text for word in words) == "".join(sentence.split())
    assert all(sentence[word.begin : word.end] == word.text for word in words)


@given(st.text(st.sampled_from("ab '-.\u20191"), max_size=20))
def test_latin_words_are_those_of_the_pattern(sentence):
    pattern = re.compile(r"\w+(?:['\u2019-]\w+)*|[^\w\s]+")
    assert unicodedata.is_normalized("NFC", sentence)
    if sentence.strip():
        assert texts(sentence) == pattern.findall(sentence)
