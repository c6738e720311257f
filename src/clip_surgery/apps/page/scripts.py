"""Scripts that run in the browser, each the handler of one element."""

from __future__ import annotations

PRESS_EXAMPLE = """
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('[data-example]');
  if (pressed) trigger('click', { example: Number(pressed.dataset.example) });
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

TOGGLE_WIDTH = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('.cs-zoom .cs-card');
  if (card) card.classList.toggle('cs-wide');
});
"""

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
