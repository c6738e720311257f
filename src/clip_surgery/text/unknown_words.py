"""Detection of texts without any word that a model was trained on.

The demo model was trained on a few dozen nouns and some other words, such as colours. Its maps of
texts without any of these words are meaningless.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from clip_surgery.backbones.backbone import Backbone


def unknown_texts(backbone: Backbone, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the texts that contain no word of the model; none if the model lists no nouns.

    A word may be part of a phrase and in the plural: "two old dogs" contains "dog".

    Args:
        backbone: the model; it was trained on `backbone.nouns` and `backbone.other_words`.
        texts: the texts.
    """
    if not backbone.nouns:
        return ()
    words = "|".join(re.escape(word) for word in (*backbone.nouns, *backbone.other_words))
    known_word = re.compile(rf"\b(?:{words})(?:s|es)?\b", re.IGNORECASE)
    return tuple(text for text in texts if not known_word.search(text))
