"""The API of the page: one call per result, for `gradio_client` or any HTTP client.

    from gradio_client import Client, handle_file

    client = Client("http://127.0.0.1:7860")
    client.predict(handle_file("street.jpg"), ["bench", "person"], api_name="/explain")

Each call takes an image and returns JSON, in the records that the command line writes. Coordinates
are in pixels of the image, whose size is part of the result.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from clip_surgery.apps.page import results
from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.requests import (
    read_number,
    read_query,
    read_upload,
    with_messages,
)
from clip_surgery.apps.page.sessions import Session
from clip_surgery.apps.page.settings import read_contrast
from clip_surgery.apps.page.tabs.maps import drawing
from clip_surgery.figures.overlay import OPACITY
from clip_surgery.records.explanations import DIGITS
from clip_surgery.records.matches import match_record
from clip_surgery.records.regions import masks_record, segmentation_record
from clip_surgery.records.texts import image_record, words_record

METHOD = "clip_surgery"


class Api:
    """The functions of the API; their signatures and docstrings are its documentation."""

    def __init__(self, actions: Actions) -> None:
        self.actions = actions

    def models(self) -> Any:
        """List the models of this page, each with the methods that work with it."""
        models = self.actions.models
        return {name: list(models[name].methods) for name in models.names}

    def explain(self, image: Any, texts: Any, model: Any, method: Any) -> Any:
        """Return score, probability of presence and peaks of each text."""
        return results.record(self._session(image, texts, model, method).explanation)

    def maps(self, image: Any, texts: Any, model: Any, method: Any) -> Any:
        """Return the raw scores of each text per patch, as a list of rows."""
        explanation = self._session(image, texts, model, method).explanation
        scores = explanation.patch_scores[0].double().numpy().round(DIGITS).tolist()
        scores_by_text = dict(zip(explanation.texts, scores, strict=True))
        return {**image_record(explanation), "maps": scores_by_text}

    def figure(
        self,
        image: Any,
        texts: Any,
        model: Any,
        method: Any,
        contrast: Any,
        opacity: Any,
    ) -> Any:
        """Draw the maps over the image as one PNG; contrast is text, image or presence."""
        checked_contrast = read_contrast(contrast)
        checked_opacity = read_number(opacity, "opacity", low=0, high=1)
        session = self._session(image, texts, model, method)
        return drawing(session, contrast=checked_contrast, opacity=checked_opacity)

    def points(self, image: Any, texts: Any, model: Any, method: Any, min_presence: Any) -> Any:
        """Return points on and off the object of each text, and boxes around it."""
        checked_presence = read_number(min_presence, "min_presence", low=0, high=1)
        session = self._session(image, texts, model, method)
        return results.points_result(session.explanation, checked_presence)

    def tags(self, image: Any, texts: Any, model: Any, top: Any) -> Any:
        """Rank texts by how well they match the image; without texts, those of the page."""
        count = int(read_number(top, "top", low=1, high=1000))
        checked_image = read_upload(self.actions, image)
        explanation = (
            self.actions.explain(checked_image, texts, model, "similarity").explanation
            if texts
            else self.actions.find_tags(checked_image, model)
        )
        rows = [
            {
                "text": tag.text,
                "score": round(tag.score, DIGITS),
                "presence": round(probability, DIGITS),
            }
            for tag, probability in results.tags_with_presence(explanation, top=count)
        ]
        return {**image_record(explanation), "tags": rows}

    def words(self, image: Any, sentence: Any, model: Any, method: Any) -> Any:
        """Return the words of a sentence with their scores, and a ranking of them."""
        checked_image = read_upload(self.actions, image)
        return words_record(self.actions.sentence(checked_image, sentence, model, method))

    def match(
        self,
        image: Any,
        text: Any,
        rival: Any,
        model: Any,
        like: Any = None,
        rival_image: Any = None,
    ) -> Any:
        """Return what each part adds to the similarity with a text or, if given, another image."""
        checked_image = read_upload(self.actions, image)
        query = read_query(self.actions, text, like)
        other = read_query(self.actions, rival, rival_image)
        match = self.actions.match(checked_image, query, other, model)
        return match_record(checked_image, match, backbone=model)

    def attention(self, image: Any, x: Any, y: Any, model: Any) -> Any:
        """Return the attention of the patch at (x, y) in pixels, of kinds q-k and v-v."""
        checked_image = read_upload(self.actions, image)
        point = (
            read_number(x, "x", low=0, high=checked_image.size.width),
            read_number(y, "y", low=0, high=checked_image.size.height),
        )
        return [
            {
                "kind": attention_map.kind,
                "patch": list(attention_map.patch),
                "weights": attention_map.weights.double().numpy().round(DIGITS).tolist(),
            }
            for attention_map in self.actions.attention(checked_image, point, model)
        ]

    def segment(self, image: Any, texts: Any, model: Any, method: Any) -> Any:
        """Return the pixels of each text as COCO run lengths."""
        session = self._session(image, texts, model, method)
        classes = [[text] for text in session.explanation.texts]
        return segmentation_record(session.explanation, results.segmentation(session), classes)

    def masks(self, image: Any, texts: Any, model: Any, method: Any) -> Any:
        """Return a mask of the object of each text by the segmenter, as COCO run lengths."""
        session = self._session(image, texts, model, method)
        explanation = session.explanation
        return masks_record(explanation, self.actions.masks(session), explanation.texts)

    def _session(self, image: Any, texts: Any, model: Any, method: Any) -> Session:
        checked_image = read_upload(self.actions, image)
        return self.actions.explain(checked_image, texts, model, method, keep_side=None)


def publish(actions: Actions, **queue_settings: Any) -> None:
    """Add the API to the page that is being built.

    Args:
        actions: the actions of the page.
        queue_settings: settings of Gradio for how its calls are queued.
    """
    api = Api(actions)
    with gr.Column(visible=False):
        image = gr.Image(type="filepath", label="image")
        texts = gr.JSON(label="texts: a list")
        optional = gr.JSON(value=[], label="texts: a list, or [] for the texts of the page")
        sentence = gr.Textbox(label="sentence")
        query = gr.Textbox("", label="text, or none for an image in `like`")
        rival = gr.Textbox("", label="another text, or none")
        like = gr.Image(type="filepath", label="an image instead of the text, or none")
        rival_image = gr.Image(type="filepath", label="an image instead of the rival, or none")
        model = gr.Textbox(actions.models.names[0], label="model, see /models")
        method = gr.Textbox(METHOD, label="method, see /models")
        contrast = gr.Textbox("text", label="contrast: text, image or presence")
        opacity = gr.Number(OPACITY, label="opacity from 0 to 1")
        min_presence = gr.Number(0, label="minimum probability of presence from 0 to 1")
        top = gr.Number(12, label="how many")
        x, y = gr.Number(label="x in pixels"), gr.Number(label="y in pixels")
        result = gr.JSON(label="result")
        figure = gr.Image(format="png", label="figure")
    request = [image, texts, model, method]
    endpoints: list[tuple[Any, list[Any], Any]] = [
        (api.models, [], result),
        (api.explain, request, result),
        (api.maps, request, result),
        (api.figure, [*request, contrast, opacity], figure),
        (api.points, [*request, min_presence], result),
        (api.tags, [image, optional, model, top], result),
        (api.words, [image, sentence, model, method], result),
        (api.match, [image, query, rival, model, like, rival_image], result),
        (api.attention, [image, x, y, model], result),
        (api.segment, request, result),
    ]
    if actions.segmenter is not None:
        endpoints.append((api.masks, request, result))
    for function, inputs, output in endpoints:
        gr.Button(visible=False).click(
            with_messages(function),
            inputs,
            output,
            api_name=function.__name__,
            api_description=function.__doc__,
            preprocess=False,
            **queue_settings,
        )
