"""The tab "Words": how well each word of a sentence matches the image, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from PIL.Image import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    cards_view,
    colour_scale,
    heat_layer,
    plain,
)
from clip_surgery.apps.page.interaction_views import interactions_view
from clip_surgery.apps.page.map_values import describe_peak, encode_map
from clip_surgery.apps.page.requests import read_upload
from clip_surgery.apps.page.scripts import TOGGLE_WIDTH
from clip_surgery.apps.page.sessions import Results, at_size, reduced, require_shown, within
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.maps import SCALES
from clip_surgery.apps.page.tabs.tab import KEPT_SIDE, PageParts, Tab, result_element
from clip_surgery.errors import InputError
from clip_surgery.figures.interactions import interactions_sheet
from clip_surgery.figures.layout import stack
from clip_surgery.figures.overlay import COLOUR_MAP, colour_table
from clip_surgery.figures.words import word_levels, words_sheet
from clip_surgery.inputs.function_words import is_function_word
from clip_surgery.inputs.images import InputImage
from clip_surgery.records.interactions import interactions_record
from clip_surgery.records.texts import words_record
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.interactions import Interactions
from clip_surgery.word_explanation import RankedWord, WordExplanation

MAPS = 6
"""Maximum number of words whose maps are shown."""


@dataclass(frozen=True, eq=False)
class ReadSentence:
    """The words of a sentence and the image, reduced. The explanation is in its pixels.

    `interactions` is None unless the visitor asked for the regions of the words.
    """

    words: WordExplanation
    image: InputImage
    model: str
    method: str
    interactions: Interactions | None = None


class WordsTab(Tab):
    """The sentence with words coloured by score, and maps of the best words."""

    name, title = "words", "Words"
    hint = "Type a sentence and press Read, or Regions for the regions that each word goes with."
    missing = "Press Read first."

    def build(self) -> None:
        """Create the sentence, its button and the result."""
        with gr.Row(elem_classes="cs-line"):
            self.sentence = gr.Textbox(
                label="Sentence", placeholder="a dog beside a boat", lines=1, scale=4,
                max_length=self.actions.limits.characters, elem_id="sentence",
            )  # fmt: skip
            self.settings["sentence"] = self.sentence
            self.read = gr.Button("Read", min_width=90, scale=1, elem_id="read")
            self.regions = gr.Button("Regions", min_width=90, scale=1, elem_id="word-regions")
        self.result = result_element("read-words", self.hint, TOGGLE_WIDTH)

    def connect(self, parts: PageParts) -> None:
        """Read the sentence when a button or Enter is pressed."""
        inputs = [parts.shown, parts.image, self.sentence, parts.model, parts.method]
        for event in (self.read.click, self.sentence.submit):
            parts.run(event, self.read_sentence, inputs, [parts.shown, self.result])
        parts.run(self.regions.click, self.find_regions, inputs, [parts.shown, self.result])

    def read_sentence(
        self, shown: Any, image: Any, sentence: Any, model: Any, method: Any
    ) -> tuple[Any, str]:
        """Return what is shown, and the words of a sentence."""
        return self._read_sentence(shown, image, sentence, model, method, with_regions=False)

    def find_regions(
        self, shown: Any, image: Any, sentence: Any, model: Any, method: Any
    ) -> tuple[Any, str]:
        """Return what is shown, and the words of a sentence with the regions they go with."""
        return self._read_sentence(shown, image, sentence, model, method, with_regions=True)

    def _read_sentence(
        self, shown: Any, image: Any, sentence: Any, model: Any, method: Any, *, with_regions: bool
    ) -> tuple[Any, str]:
        kept = require_shown(shown)
        before = kept.results
        checked_image = read_upload(self.actions, image)
        words = self.actions.sentence(checked_image, sentence, model, method)
        small = reduced(checked_image, KEPT_SIDE)
        words = replace(words, explanation=at_size(words.explanation, small.size))
        interactions = (
            self.actions.interactions(checked_image, sentence, model) if with_regions else None
        )
        read = ReadSentence(words, small, model, method, interactions)
        kept.keep(before, self.name, read)
        return kept, read_view(read)

    def has_result(self, results: Results) -> bool:
        """Whether a sentence was read."""
        return self.name in results.by_tab

    def draw(self, results: Results, settings: Settings) -> str:
        """Return the sentence, the maps of its best words, and their regions if asked for."""
        return read_view(self._read(results))

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the sentence and the maps of its best words as a figure, and their regions."""
        read, opacity = self._read(results), settings.opacity
        sheets = [words_sheet(read.image, read.words, top=MAPS, opacity=opacity)]
        if read.interactions is not None:
            sheets.append(
                interactions_sheet(read.image, read.interactions, top=MAPS, opacity=opacity)
            )
        return stack(sheets, gap=0).image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return the words with their scores, and with the regions if asked for."""
        if not self.has_result(results):
            return {}
        read = self._read(results)
        record: dict[str, Any] = {"words": words_record(read.words)}
        if read.interactions is not None:
            record["interactions"] = interactions_record(
                read.image, read.interactions, read.words.sentence, backbone=read.model
            )
        return record

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the words."""
        read = self._read(results)
        arguments = f"explainer, {read.image.name!r}, {read.words.sentence!r}"
        load = f"explainer = clip_surgery.load({read.model!r}, method={read.method!r})"
        lines = ["import clip_surgery", "", load, f"words = clip_surgery.words({arguments})"]
        if read.interactions is not None:
            lines.append(f"interactions = clip_surgery.interactions({arguments})")
        return lines

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `words`, or `interactions` if the regions are shown."""
        read = self._read(results)
        options = [f"--model={read.model}", f"--method={read.method}"]
        command = "words" if read.interactions is None else "interactions"
        return ["clip-surgery", command, read.image.name, f"--text={read.words.sentence}", *options]

    def _read(self, results: Results) -> ReadSentence:
        read = results.by_tab.get(self.name)
        if not isinstance(read, ReadSentence):
            raise InputError(f"{self.missing} This tab has no result yet.")
        return read


def read_view(read: ReadSentence) -> str:
    """Return the words of a sentence, and the regions they go with if these were computed."""
    view = words_view(read.image, read.words)
    if read.interactions is None:
        return view
    return f"<div>{view}</div><div>{interactions_view(read.image, read.interactions)}</div>"


def words_view(image: InputImage, explanation: WordExplanation, *, top: int = MAPS) -> str:
    """Return the sentence with words coloured by score, and maps of the best words.

    Args:
        image: the image.
        explanation: explanation of the words of the sentence.
        top: maximum number of maps.
    """
    best_words = _best_words(explanation)[:top]
    size = within(image.size, LAYER_SIDE)
    word_maps = heatmaps(at_size(explanation.explanation, size))[0]
    cards = [_word_card(word, word_maps[word.position], image) for word in best_words]
    return (
        f'<p class="cs-sentence">{_chips(explanation, best_words)}</p>'
        f'<p class="cs-note">{plain(explanation.scale)}</p>'
        + cards_view(image, cards, kind="cs-zoom")
        + colour_scale(SCALES["text"])
    )


def _chips(explanation: WordExplanation, best_words: list[RankedWord]) -> str:
    """HTML of the words coloured by score; those with a map are buttons."""
    table, levels = colour_table(COLOUR_MAP), word_levels(explanation)
    cards_of_words = {word.text: number for number, word in enumerate(best_words)}
    chips = []
    for text, kind, level in zip(explanation.words, explanation.kinds, levels, strict=True):
        red, green, blue = table[round(255 * level)].tolist()
        colour = f"rgba({red},{green},{blue},{0.1 + 0.25 * level:.2f})"
        number = cards_of_words.get(text)
        if kind == "word" and number is not None:
            chip = f'button type="button" class="cs-word" data-card="{number}"'
        else:
            chip = f'span class="cs-word{"" if kind == "word" else " cs-end"}"'
        element = chip.split(" ", maxsplit=1)[0]
        chips.append(f'<{chip} style="background:{colour}">{plain(text)}</{element}>')
    return "".join(chips)


def _word_card(word: RankedWord, heatmap: Tensor, image: InputImage) -> Card:
    return Card(
        title=word.text,
        note=f"score {word.score:.3f}",
        layer=heat_layer(heatmap),
        alt=f"Map of the word {word.text}: score {word.score:.3f}, "
        f"{describe_peak(heatmap, image.size)}",
        values=encode_map(heatmap),
    )


def _best_words(explanation: WordExplanation) -> list[RankedWord]:
    """Return the ranked words that an image can show, each at its best position only.

    A sentence of function words and punctuation has all of them.
    """
    ranking = explanation.ranking()
    content_words = [word for word in ranking if not is_function_word(word.text)]
    best: dict[str, RankedWord] = {}
    for word in content_words or ranking:
        best.setdefault(word.text, word)
    return list(best.values())
