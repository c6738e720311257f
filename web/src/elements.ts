/** Returns the element of the page with this id and class. */
export function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page lacks #${id}.`);
  return found;
}

/** Returns a new element with text and a class. */
export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  { text = "", kind = "" }: { text?: string; kind?: string } = {},
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
