"""Detection of texts without any word that a model was trained on.

The demo model was trained on a few dozen nouns. Its maps of texts without any of these nouns are
meaningless.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from clip_surgery.backbones.backbone import Backbone


def unknown_texts(backbone: Backbone, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the texts that contain no noun of the model; none if the model lists no nouns.

    A noun may be part of a phrase and in the plural: "two brown dogs" contains "dog".

    Args:
        backbone: the model; `backbone.nouns` are the nouns that it was trained on.
        texts: the texts.
    """
    if not backbone.nouns:
        return ()
    nouns = "|".join(re.escape(noun) for noun in backbone.nouns)
    known_noun = re.compile(rf"\b(?:{nouns})(?:s|es)?\b", re.IGNORECASE)
    return tuple(text for text in texts if not known_noun.search(text))
