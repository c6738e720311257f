"""The list of earlier results of a visitor."""

from __future__ import annotations

from clip_surgery.apps.page.html_cards import data_link, plain
from clip_surgery.apps.page.sessions import Session, Shown, reduced

THUMBNAIL_SIDE = 96


def history_view(shown: Shown) -> str:
    """Return HTML with a button per earlier result, the newest first; nothing for one result."""
    if len(shown.history) < 2:
        return ""
    buttons = [
        _button(number, results.session, is_shown=results is shown.results)
        for number, results in enumerate(shown.history)
        if results.session is not None
    ]
    heading = '<p class="cs-small">Earlier results</p>'
    return f'{heading}<div class="cs-history">{"".join(reversed(buttons))}</div>'


def _button(number: int, session: Session, *, is_shown: bool) -> str:
    texts = ", ".join(session.explanation.texts)
    thumbnail = data_link(reduced(session.image, THUMBNAIL_SIDE).image, quality=80)
    return (
        f'<button type="button" data-result="{number}" aria-pressed="{str(is_shown).lower()}">'
        f'<img src="{thumbnail}" alt="{plain(session.image.name)}"><span><b>{plain(texts)}</b>'
        f"{plain(session.method)} · {plain(session.model)}</span></button>"
    )
