"""The page's API: every answer in one call, for `gradio_client` or any HTTP client.

    from gradio_client import Client, handle_file

    client = Client("http://127.0.0.1:7860")
    client.predict(handle_file("street.jpg"), ["bench", "person"], api_name="/explain")

Each call stands alone: it takes a picture and gives JSON, the same records as the command line
writes; places are in pixels of the picture, whose size the answer names.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from clip_surgery.apps.page import answers
from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.requests import read_number, read_upload, told
from clip_surgery.apps.page.sessions import Session
from clip_surgery.records.explanations import DIGITS
from clip_surgery.records.regions import masks_record, segmentation_record
from clip_surgery.records.texts import image_record, words_record

METHOD = "clip_surgery"


class Api:
    """The functions of the API; their signatures and docstrings are its documentation."""

    def __init__(self, actions: Actions) -> None:
        self.actions = actions

    def models(self) -> Any:
        """The models of this page, each with the methods that work with it."""
        offers = self.actions.offers
        return {name: list(offers[name].methods) for name in offers.names}

    def explain(self, picture: Any, words: Any, model: str, method: str) -> Any:
        """Scores, presence (how likely a word is in the picture at all) and peaks of words."""
        return answers.record(self._visit(picture, words, model, method).explanation)

    def maps(self, picture: Any, words: Any, model: str, method: str) -> Any:
        """Raw evidence of each word at patch resolution: rows of columns, higher is more."""
        explanation = self._visit(picture, words, model, method).explanation
        scores = explanation.patch_scores[0].double().numpy().round(DIGITS).tolist()
        listed = dict(zip(explanation.texts, scores, strict=True))
        return {**image_record(explanation), "maps": listed}

    def figure(
        self,
        picture: Any,
        words: Any,
        model: str,
        method: str,
        contrast: Any,
        opacity: Any,
    ) -> Any:
        """The maps over the picture as one PNG; contrast is text, image or presence."""
        share = read_number(opacity, "opacity", low=0, high=1)
        visit = self._visit(picture, words, model, method)
        return answers.drawing(visit, contrast=contrast, opacity=share)

    def points(self, picture: Any, words: Any, model: str, method: str, min_presence: Any) -> Any:
        """Clicks on and off the object of each word, and boxes around it."""
        least = read_number(min_presence, "min_presence", low=0, high=1)
        visit = self._visit(picture, words, model, method)
        return answers.points_answer(visit.explanation, least)

    def tags(self, picture: Any, words: Any, model: str, top: Any) -> Any:
        """Which words are in the picture, best first; the page's own words where none is given."""
        most = int(read_number(top, "top", low=1, high=1000))
        read = read_upload(self.actions, picture)
        explanation = (
            self.actions.explain(read, words, model, "similarity").explanation
            if words
            else self.actions.find_tags(read, model)
        )
        rows = [
            {"text": tag.text, "score": round(tag.score, DIGITS), "presence": round(share, DIGITS)}
            for tag, share in answers.likely_tags(explanation, top=most)
        ]
        return {**image_record(explanation), "tags": rows}

    def words(self, picture: Any, sentence: str, model: str, method: str) -> Any:
        """The words of a sentence with their scores, and the words alone from the best on."""
        read = read_upload(self.actions, picture)
        return words_record(self.actions.sentence(read, sentence, model, method))

    def attention(self, picture: Any, x: Any, y: Any, model: str) -> Any:
        """What the patch at (x, y) in pixels looks at, by q-k and by v-v."""
        read = read_upload(self.actions, picture)
        point = (
            read_number(x, "x", low=0, high=read.size.width),
            read_number(y, "y", low=0, high=read.size.height),
        )
        return [
            {
                "kind": one.kind,
                "patch": list(one.patch),
                "weights": one.weights.double().numpy().round(DIGITS).tolist(),
            }
            for one in self.actions.attention(read, point, model)
        ]

    def segment(self, picture: Any, words: Any, model: str, method: str) -> Any:
        """The pixels of each word, as COCO run lengths."""
        visit = self._visit(picture, words, model, method)
        names = [[text] for text in visit.explanation.texts]
        return segmentation_record(visit.explanation, answers.segmentation(visit), names)

    def masks(self, picture: Any, words: Any, model: str, method: str) -> Any:
        """The object of each word cut out by the segmenter, as COCO run lengths."""
        visit = self._visit(picture, words, model, method)
        explanation = visit.explanation
        return masks_record(explanation, self.actions.masks(visit), explanation.texts)

    def _visit(self, picture: Any, words: Any, model: str, method: str) -> Session:
        read = read_upload(self.actions, picture)
        return self.actions.explain(read, words, model, method, keep_side=None)


def publish(actions: Actions, **running: Any) -> None:
    """Add the API to the page that is being built; `running` says how its calls are queued."""
    api = Api(actions)
    with gr.Column(visible=False):
        picture = gr.Image(type="filepath", label="picture")
        words = gr.JSON(label="words: a list of texts")
        optional = gr.JSON(value=[], label="words: a list of texts, or [] for the page's own")
        sentence = gr.Textbox(label="sentence")
        model = gr.Textbox(actions.offers.names[0], label="model, see /models")
        method = gr.Textbox(METHOD, label="method, see /models")
        contrast = gr.Textbox("text", label="contrast: text, image or presence")
        opacity = gr.Number(0.75, label="opacity from 0 to 1")
        least = gr.Number(0, label="leave out words less likely than this")
        top = gr.Number(12, label="how many")
        x, y = gr.Number(label="x in pixels"), gr.Number(label="y in pixels")
        answer = gr.JSON(label="answer")
        image = gr.Image(format="png", label="figure")
    asked = [picture, words, model, method]
    endpoints: list[tuple[Any, list[Any], Any]] = [
        (api.models, [], answer),
        (api.explain, asked, answer),
        (api.maps, asked, answer),
        (api.figure, [*asked, contrast, opacity], image),
        (api.points, [*asked, least], answer),
        (api.tags, [picture, optional, model, top], answer),
        (api.words, [picture, sentence, model, method], answer),
        (api.attention, [picture, x, y, model], answer),
        (api.segment, asked, answer),
    ]
    if actions.segmenter is not None:
        endpoints.append((api.masks, asked, answer))
    for function, inputs, output in endpoints:
        gr.Button(visible=False).click(
            told(function),
            inputs,
            output,
            api_name=function.__name__,
            api_description=function.__doc__,
            preprocess=False,
            **running,
        )
