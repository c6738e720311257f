// Keyboard, values under the cursor, and marks of the page. All listeners are on the document,
// because the results are replaced whenever a model has run.
(() => {
  const closest = (event, selector) => event.target.closest?.(selector);
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  // Values of maps: see map_values.py.
  const decoded = new WeakMap();
  function grid(frame) {
    if (!decoded.has(frame)) {
      const [columns, rows, content] = frame.dataset.values.split(',');
      const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
      decoded.set(frame, { columns: Number(columns), rows: Number(rows), bytes });
    }
    return decoded.get(frame);
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
      return `${title}: ${interpolated(grid(frame), x, y).toFixed(2)}`;
    }
    const { columns, rows, bytes } = grid(frame);
    const column = clamp(Math.floor(x * columns), 0, columns - 1);
    const row = clamp(Math.floor(y * rows), 0, rows - 1);
    const number = bytes[row * columns + column];
    return number === 0 ? 'no text' : JSON.parse(names.dataset.names)[number - 1];
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
      pressedCards = frame.closest('.cs-click');
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
  new MutationObserver(() => {
    if (!pressedCards || pressedCards.isConnected) return;
    const frame = document.querySelector('.cs-click .cs-frame');
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
})();
