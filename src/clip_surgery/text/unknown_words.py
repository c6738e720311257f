"""Vocabulary: whether a model that knows few words was asked for one of them.

The demo model was trained on a few dozen nouns; a text without any of them gets a map all the
same, and it means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from clip_surgery.backbones.backbone import Backbone


def unknown_texts(backbone: Backbone, texts: Sequence[str]) -> tuple[str, ...]:
    """The texts that hold none of the words the model knows; none for models that know many.

    A known noun may stand in a phrase and in the plural: "two brown dogs" holds "dog".
    """
    if not backbone.nouns:
        return ()
    nouns = "|".join(re.escape(noun) for noun in backbone.nouns)
    known = re.compile(rf"\b(?:{nouns})(?:s|es)?\b", re.IGNORECASE)
    return tuple(text for text in texts if not known.search(text))
