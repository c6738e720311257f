// Keyboard, values under the cursor, and marks of the page. All listeners are on the document,
// because the results are replaced whenever a model has run.
(() => {
  const closest = (event, selector) => event.target.closest?.(selector);
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  // Values of maps: see map_values.py. They are decoded again if the element shows another result.
  const decoded = new WeakMap();
  function grid(frame, layer = 'values') {
    const grids = decoded.get(frame) ?? {};
    const encoded = frame.dataset[layer];
    if (grids[layer]?.encoded !== encoded) {
      const [columns, rows, content] = encoded.split(',');
      const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
      grids[layer] = { encoded, columns: Number(columns), rows: Number(rows), bytes };
      decoded.set(frame, grids);
    }
    return grids[layer];
  }

  function interpolated({ columns, rows, bytes }, x, y) {
    const column = clamp(x * columns - 0.5, 0, columns - 1);
    const row = clamp(y * rows - 0.5, 0, rows - 1);
    const [left, top] = [Math.floor(column), Math.floor(row)];
    const [right, bottom] = [Math.min(left + 1, columns - 1), Math.min(top + 1, rows - 1)];
    const [u, v] = [column - left, row - top];
    const at = (r, c) => bytes[r * columns + c];
    const upper = (1 - u) * at(top, left) + u * at(top, right);
    const lower = (1 - u) * at(bottom, left) + u * at(bottom, right);
    return ((1 - v) * upper + v * lower) / 255;
  }

  function describe(frame, x, y) {
    const names = frame.closest('[data-names]');
    if (!names) {
      const title = frame.closest('.cs-card').dataset.title;
      const isSigned = frame.closest('.cs-signed') !== null;
      const value = (layer) => {
        const share = interpolated(grid(frame, layer), x, y);
        if (!isSigned) return share.toFixed(2);
        return `${share < 0.5 ? '−' : '+'}${Math.abs(2 * share - 1).toFixed(2)}`;
      };
      const compared = 'rightValues' in frame.dataset ? ` and ${value('rightValues')}` : '';
      return `${title}: ${value('values')}${compared}`;
    }
    const number = classAt(frame, x, y);
    return number === 0 ? 'no text' : JSON.parse(names.dataset.names)[number - 1];
  }

  // The number of the text at a point of a segmentation; 0 is no text.
  function classAt(frame, x, y) {
    const { columns, rows, bytes } = grid(frame);
    const column = clamp(Math.floor(x * columns), 0, columns - 1);
    const row = clamp(Math.floor(y * rows), 0, rows - 1);
    return bytes[row * columns + column];
  }

  let readout = null;
  function show(frame, x, y) {
    if (!readout) {
      readout = document.createElement('div');
      readout.id = 'cs-readout';
      readout.setAttribute('role', 'status');
      (document.querySelector('.gradio-container') ?? document.body).append(readout);
    }
    const box = frame.getBoundingClientRect();
    readout.textContent = frame.dataset.values ? describe(frame, x, y) : '';
    readout.hidden = !readout.textContent;
    const [left, top] = [box.left + x * box.width + 14, box.top + y * box.height + 14];
    readout.style.left = `${Math.min(left, innerWidth - readout.offsetWidth - 8)}px`;
    readout.style.top = `${Math.min(top, innerHeight - readout.offsetHeight - 8)}px`;
  }
  const hide = () => { if (readout) readout.hidden = true; };

  document.addEventListener('pointermove', (event) => {
    const frame = closest(event, '.cs-frame[data-values]');
    if (!frame) return hide();
    const box = frame.getBoundingClientRect();
    show(frame, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
  document.addEventListener('scroll', hide, true);

  // Tabs: arrow keys, Home and End.
  function moveToTab(event, tab) {
    const tabs = [...tab.closest('[role=tablist]').querySelectorAll('[role=tab]')];
    const target = { ArrowLeft: -1, ArrowRight: 1, Home: -tabs.length, End: tabs.length }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    const number = tabs.indexOf(tab) + target;
    const next = event.key.startsWith('Arrow')
      ? tabs[(number + tabs.length) % tabs.length]
      : tabs[clamp(number, 0, tabs.length - 1)];
    next.focus();
    next.click();
  }

  // Frames: arrow keys move a cursor, Enter chooses the point or enlarges the card.
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let position = { x: 0.5, y: 0.5 };
  let pressedCards = null; // the cards in which a point was chosen by a key

  function placeCursor(frame) {
    let cursor = frame.querySelector('.cs-cursor');
    if (!cursor) {
      cursor = document.createElement('span');
      cursor.className = 'cs-cursor';
      frame.append(cursor);
    }
    cursor.style.left = `${100 * position.x}%`;
    cursor.style.top = `${100 * position.y}%`;
    show(frame, position.x, position.y);
  }

  function moveInFrame(event, frame) {
    const step = STEPS[event.key];
    if (step) {
      const size = event.shiftKey ? 0.1 : 0.025;
      position = {
        x: clamp(position.x + size * step[0], 0.0125, 0.9875),
        y: clamp(position.y + size * step[1], 0.0125, 0.9875),
      };
      placeCursor(frame);
    } else if (event.key === 'Enter' || event.key === ' ') {
      const box = frame.getBoundingClientRect();
      const cards = frame.closest('.cs-click');
      pressedCards = cards && { cards, id: cards.closest('[id]').id };
      frame.dispatchEvent(new MouseEvent('click', {
        bubbles: true,
        clientX: box.left + position.x * box.width,
        clientY: box.top + position.y * box.height,
      }));
    } else if (event.key === 'Escape') {
      frame.querySelector('.cs-cursor')?.remove();
      hide();
    } else {
      return;
    }
    event.preventDefault();
  }

  document.addEventListener('keydown', (event) => {
    const tab = closest(event, '[role=tab]');
    const frame = closest(event, '.cs-frame');
    if (tab) moveToTab(event, tab);
    else if (frame) moveInFrame(event, frame);
  });
  document.addEventListener('focusout', (event) => {
    closest(event, '.cs-frame')?.querySelector('.cs-cursor')?.remove();
    hide();
  });
  // A button of a result that was pressed by a key keeps the focus when the result is replaced.
  let pressedButton = null;
  document.addEventListener('click', (event) => {
    const button = closest(event, '[data-text], [data-block], [data-result]');
    const byKey = button && event.detail === 0;
    pressedButton = byKey ? { button, selector: selectorOf(button) } : null;
  });
  function selectorOf(button) {
    const data = Object.entries(button.dataset).map(([name, value]) => `[data-${name}="${value}"]`);
    return `#${button.closest('[id]').id} button${data.join('')}`;
  }
  new MutationObserver(() => {
    if (pressedButton && !pressedButton.button.isConnected) {
      document.querySelector(pressedButton.selector)?.focus();
      pressedButton = null;
    }
    if (!pressedCards || pressedCards.cards.isConnected) return;
    const frame = document.querySelector(`#${pressedCards.id} .cs-click .cs-frame`);
    if (!frame) return;
    pressedCards = null;
    frame.focus();
  }).observe(document, { childList: true, subtree: true });

  // Words of a sentence: the map of the word under the cursor or with the focus stands out.
  function markWord(event, isMarked) {
    const word = closest(event, '.cs-word[data-card]');
    if (!word) return;
    const cards = word.closest('.cs-sentence').parentElement.querySelectorAll('.cs-card');
    cards.forEach((card, number) => {
      card.classList.toggle('cs-marked', isMarked && number === Number(word.dataset.card));
    });
    word.closest('.cs-sentence').parentElement.classList.toggle('cs-marking', isMarked);
  }
  document.addEventListener('pointerover', (event) => markWord(event, true));
  document.addEventListener('pointerout', (event) => markWord(event, false));
  document.addEventListener('focusin', (event) => markWord(event, true));
  document.addEventListener('focusout', (event) => markWord(event, false));

  // Segments: a click leaves one text only, another click on it shows all again.
  function isolate(segments, number) {
    const buttons = [...segments.querySelectorAll('.cs-legend button')];
    const isShown = (button) => button.getAttribute('aria-pressed') === 'true';
    const chosen = buttons.find((button) => Number(button.dataset.class) === number);
    const again = !chosen || isShown(chosen);
    for (const button of buttons) button.setAttribute('aria-pressed', !again && button === chosen);
    segments.querySelector('.cs-only')?.remove();
    segments.classList.toggle('cs-isolated', !again);
    if (!again) segments.querySelector('.cs-frame').append(darkened(segments, chosen));
  }

  // A canvas that is dark outside of the segment of a legend button.
  function darkened(segments, button) {
    const layer = segments.querySelector('img.cs-layer');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [layer.naturalWidth, layer.naturalHeight];
    canvas.className = 'cs-layer cs-only';
    const context = canvas.getContext('2d');
    context.drawImage(layer, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const [red, green, blue] = button.dataset.colour.split(',').map(Number);
    const { data } = pixels;
    for (let i = 0; i < data.length; i += 4) {
      const isInside = data[i + 3] > 0 && data[i] === red && data[i + 1] === green
        && data[i + 2] === blue;
      [data[i], data[i + 1], data[i + 2], data[i + 3]] = [15, 23, 42, isInside ? 0 : 215];
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  document.addEventListener('click', (event) => {
    const segments = closest(event, '.cs-segments');
    const button = closest(event, '.cs-legend button');
    const frame = closest(event, '.cs-frame');
    if (!segments) return;
    if (button) isolate(segments, Number(button.dataset.class));
    else if (frame) {
      const box = frame.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      isolate(segments, classAt(frame, x / box.width, y / box.height));
    }
  });

  // Comparisons: the border between two maps follows the slider, or the pointer over a map.
  document.addEventListener('input', (event) => {
    if (!event.target.matches?.('.cs-split input')) return;
    event.target.closest('.cs-compare').style.setProperty('--cs-split', `${event.target.value}%`);
  });
  const moveBorder = (event) => {
    const frame = closest(event, '.cs-split-cards .cs-frame');
    if (!frame || !event.buttons) return;
    const box = frame.getBoundingClientRect();
    const slider = frame.closest('.cs-compare').querySelector('.cs-split input');
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
  };
  document.addEventListener('pointerdown', moveBorder);
  document.addEventListener('pointermove', moveBorder);

  // Calls of the model that are running, for the Stop button.
  const running = new Set();
  function showRunning() {
    document.body.classList.toggle('cs-running', running.size > 0);
    document.querySelector('#stop')?.setAttribute('aria-disabled', running.size === 0);
  }
  function tell(text) {
    const status = document.querySelector('#run-status [role=status]');
    if (status) status.textContent = text;
  }

  // The address: read once when the page opens, written after each change. See address.py.
  const query = location.search;
  function writeAddress(names, defaults, values) {
    if (!clipSurgery.isOpen) return;
    setTimeout(() => {
      const tab = document.querySelector('#results [role=tab][aria-selected=true]');
      const state = [...names.map((name, number) => [name, values[number]]),
        ['tab', tab?.dataset.tabId], ['example', clipSurgery.example]];
      const parameters = new URLSearchParams(location.search);
      for (const [name, value] of state) {
        parameters.delete(name);
        for (const each of [value].flat()) {
          const isDefault = String(each) === String(defaults[name]);
          if (each !== null && each !== undefined && each !== '' && !isDefault) {
            parameters.append(name, each);
          }
        }
      }
      const text = parameters.size ? `?${parameters}` : location.pathname;
      history.replaceState(history.state, '', text);
    }, 50); // after the tab has changed
  }

  window.clipSurgery = {
    query,
    example: null,
    isOpen: false,
    showRunning,
    writeAddress,
    setRunning(call, isRunning) {
      running[isRunning ? 'add' : 'delete'](call);
      if (isRunning) tell('');
      showRunning();
    },
    stopped() {
      if (running.size) tell('Stopped.');
      running.clear();
      showRunning();
    },
  };
})();
