"""Extension of the reference pages: examples of docstrings are shown as code.

Docstrings of this package have a section `Example:`. The Google style of griffe knows `Examples:`
only and would show the other as quoted text.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^(?P<indent>[ \t]*)Example:$", flags=re.MULTILINE)


class ExamplesAsCode(Extension):
    """Read a section `Example:` as a section `Examples:`."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of a function, class or module before it is parsed."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"\g<indent>Examples:", obj.docstring.value)
