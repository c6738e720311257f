"""The tabs of the page in their order: each is a class in a file of its own and a line here."""

from __future__ import annotations

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.tabs.attention import AttentionTab
from clip_surgery.apps.page.tabs.compare import CompareTab
from clip_surgery.apps.page.tabs.heads import HeadsTab
from clip_surgery.apps.page.tabs.maps import MapsTab
from clip_surgery.apps.page.tabs.masks import MasksTab
from clip_surgery.apps.page.tabs.match import MatchTab
from clip_surgery.apps.page.tabs.methods import MethodsTab
from clip_surgery.apps.page.tabs.points import PointsTab
from clip_surgery.apps.page.tabs.segments import SegmentsTab
from clip_surgery.apps.page.tabs.tab import Tab
from clip_surgery.apps.page.tabs.tags import TagsTab
from clip_surgery.apps.page.tabs.words import WordsTab

TABS: tuple[type[Tab], ...] = (
    MapsTab,
    PointsTab,
    TagsTab,
    WordsTab,
    MatchTab,
    AttentionTab,
    SegmentsTab,
    MasksTab,
    CompareTab,
    MethodsTab,
    HeadsTab,
)


def tabs_of(actions: Actions) -> dict[str, Tab]:
    """Return new tabs by name; without a segmenter, the page has no masks."""
    tabs = {kind.name: kind(actions) for kind in TABS}
    if actions.segmenter is None:
        del tabs[MasksTab.name]
    return tabs
