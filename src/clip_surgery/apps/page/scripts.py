"""Scripts that run in the browser, each the handler of one element."""

from __future__ import annotations

import json
from collections.abc import Mapping

from clip_surgery.apps.page.settings import DEFAULTS, NAMES, SENTENCES

PRESS_EXAMPLE = """
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('[data-example]');
  if (!pressed) return;
  clipSurgery.example = pressed.dataset.example;
  trigger('click', { example: Number(pressed.dataset.example) });
});
"""

GO_BACK = """
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('[data-result]');
  if (!pressed) return;
  clipSurgery.example = null;
  trigger('click', { result: Number(pressed.dataset.result) });
});
"""

CLICK_POINT = """
element.addEventListener('click', (event) => {
  const frame = event.target.closest('.cs-click .cs-frame');
  if (!frame) return;
  const box = frame.getBoundingClientRect();
  trigger('click', {
    x: (event.clientX - box.left) / box.width,
    y: (event.clientY - box.top) / box.height,
  });
});
"""

CLICK_POINT_OR_HEAD = f"""{CLICK_POINT}
element.addEventListener('click', (event) => {{
  const pressed = event.target.closest('[data-text], [data-block]');
  if (!pressed) return;
  const chosen = Object.entries(pressed.dataset).map(([name, value]) => [name, Number(value)]);
  trigger('select', Object.fromEntries(chosen));
}});
"""
"""A click in an image is a "click"; one on a button with numbers is a "select" of these."""

TOGGLE_WIDTH = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('.cs-zoom .cs-card');
  if (card) card.classList.toggle('cs-wide');
});
"""

CHOOSE_PART = f"""{TOGGLE_WIDTH}
element.addEventListener('click', (event) => {{
  const pressed = event.target.closest('[data-text], [data-block]');
  if (!pressed) return;
  const chosen = Object.entries(pressed.dataset).map(([name, value]) => [name, Number(value)]);
  trigger('click', Object.fromEntries(chosen));
}});
"""
"""A click on a button with data-text, or data-block and data-head, sends these numbers."""

SET_OPACITY = "(share) => { document.documentElement.style.setProperty('--cs-opacity', share); }"

WITH_TAB = """(...values) => {
  const tab = document.querySelector('#results [role=tab][aria-selected=true]');
  return [values[0], tab.dataset.tabId, ...values.slice(2)];
}"""
"""Replaces the second value of a request by the name of the tab that is shown."""

SAVE = """(file) => {
  const link = document.createElement('a');
  link.href = file.content;
  link.download = file.name;
  document.body.append(link);
  link.click();
  link.remove();
}"""

SHOW_RESULTS = """() => {
  const results = document.querySelector('#results');
  if (results.getBoundingClientRect().top > innerHeight / 2) results.scrollIntoView();
}"""

COPY = """async ({ text }) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // Without HTTPS, browsers have no clipboard for scripts.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}"""

COPY_LINK = f"""async () => {{
  await ({COPY})({{ text: location.href }});
  const line = document.createElement('pre');
  line.className = 'cs-code';
  line.tabIndex = 0;
  line.setAttribute('aria-label', 'Copied to the clipboard');
  line.textContent = location.href;
  return [line.outerHTML];
}}"""

STOPPED = "() => clipSurgery.stopped()"
FORGET_EXAMPLE = "() => { clipSurgery.example = null; }"
READ_ADDRESS = "() => [clipSurgery.query]"
OPENED = """(link) => {
  const example = link?.example ?? null;
  clipSurgery.example ??= example;
  clipSurgery.isOpen = true;
  clipSurgery.showRunning();
  if (example !== null) setTimeout(() => document.querySelector('#explain').click(), 50);
}"""
"""Begins to write the address, and explains the example of the address if it has one."""


def set_running(call: int, *, running: bool) -> str:
    """Return the script that notes whether a call of the model is running, for the Stop button."""
    return f"() => clipSurgery.setRunning({call}, {str(running).lower()})"


def write_address(defaults: Mapping[str, str]) -> str:
    """Return the script that writes the state of the page into its address.

    It takes texts, model, method, sentences and settings; what is at its default is left out.

    Args:
        defaults: model, method and tab at the start.
    """
    names = ["text", "model", "method", *SENTENCES, *NAMES]
    at_start = {name: getattr(DEFAULTS, name) or 0 for name in NAMES} | dict(defaults)
    arguments = f"{json.dumps(names)}, {json.dumps(at_start)}, values"
    return f"(...values) => clipSurgery.writeAddress({arguments})"
