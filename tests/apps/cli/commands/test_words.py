import json
from pathlib import Path

import pytest

from clip_surgery.apps.cli.commands.demo import read_scene
from clip_surgery.figures import words as words_figures
from clip_surgery.word_explanation import WordExplanation


@pytest.mark.parametrize("evidence", ["contribution", "similarity", "gradient"])
def test_the_words_of_a_sentence(cli, scene, evidence):
    done = cli("words", scene, "a pig and a turtle", "--evidence", evidence, "-f", "json,png")
    assert done.code == 0, done.err
    record = json.loads(Path("out/scene.words.json").read_text())
    assert record["sentence"] == "a pig and a turtle"
    assert record["evidence"] == evidence
    kinds = [word["kind"] for word in record["words"]]
    if evidence == "contribution":
        assert kinds == ["word"] * 5
        shares = [word["variance_share"] for word in record["words"]]
        assert sum(shares) == pytest.approx(record["fit"], abs=1e-3)
        assert "explains" in done.out
    else:
        assert kinds == ["start", *["word"] * 5, "end"]
        assert record["fit"] is None
        assert "explains" not in done.out
    assert sorted(record["ranking"]) == ["a", "a", "and", "pig", "turtle"]


def test_an_object_in_the_image_ranks_before_an_absent_one(cli, scene):
    seen, absent = read_scene().objects[0], read_scene().absent
    cli("words", scene, f"a {seen} and a {absent}")
    ranking = json.loads(Path("out/scene.words.json").read_text())["ranking"]
    assert ranking.index(seen) < ranking.index(absent)


def test_maps_are_kept(cli, scene):
    assert cli("words", scene, "a pig", "--format", "safetensors", "--depth", 3).code == 0
    found = WordExplanation.load("out/scene.words.safetensors")
    assert found.words == ("a", "pig")
    assert found.fit is not None
    assert "depth=3" in found.explanation.method


def test_phrases_count_as_one_word(cli, scene):
    assert cli("words", scene, "a red pig", "--phrase", "red pig").code == 0
    record = json.loads(Path("out/scene.words.json").read_text())
    assert [word["text"] for word in record["words"]] == ["a", "red pig"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "No text to look for"),
        (["a", "pig"], "Expected one sentence, but got 2 texts: put it in quotes."),
        (["--text", "  "], "Expected"),
        (["a pig", "--evidence", "best"], "Invalid value for '--evidence'"),
        (["a pig", "--phrase", "dog"], "Expected phrases that occur in the sentence 'a pig'"),
        (["a pig", "--top", "0"], "Invalid value for '--top'"),
        (["a pig", "--colour-map", "x"], "Unknown colour map 'x'"),
        (["pig " * 100], "token"),
    ],
)
def test_wrong_usage(cli, scene, arguments, reason):
    done = cli("words", scene, *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1


def test_too_long_a_sentence_is_cut_when_asked(cli, scene):
    assert cli("words", scene, "pig " * 100, "--truncate").code == 0


@pytest.mark.parametrize(
    ("arguments", "columns", "scale"),
    [
        ([], 2, "Scores are how much a word changes"),
        (["--evidence", "similarity"], 1, "Scores are cosine similarities"),
    ],
)
def test_function_words_are_listed_and_not_drawn(
    cli, scene, monkeypatch, arguments, columns, scale
):
    drawn = []
    figure = words_figures.figure

    def record_titles(image, maps, titles, **options):
        drawn.append((list(titles), options["heading"]))
        return figure(image, maps, titles, **options)

    monkeypatch.setattr(words_figures, "figure", record_titles)
    done = cli("words", scene, "a photo of a dog", "--top", 5, *arguments)
    assert done.code == 0, done.err
    [(titles, heading)] = drawn
    assert titles == ["dog"]
    rows = [line.split() for line in done.out.splitlines()[1:-2]]
    kinds = {row[1]: " ".join(row[2:-columns]) for row in rows}
    special = {"[start]": "special token", "[end]": "special token"} if columns == 1 else {}
    assert kinds == {
        "dog": "content word",
        "a": "function word",
        "of": "function word",
        "photo": "function word",
        **special,
    }
    assert scale in heading
    assert scale in done.out
    assert "Only content words have a map." in done.out
