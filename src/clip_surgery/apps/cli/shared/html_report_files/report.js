"use strict";
// Show the map of a text while its button is pointed at or focused; a click keeps it.
const cards = [...document.querySelectorAll("article")];
const values = new Map(cards.map((card) => [card, JSON.parse(card.dataset.values)]));

for (const card of cards) {
  const buttons = [...card.querySelectorAll("button")];
  const layers = [...card.querySelectorAll(".layer")];
  let kept = -1;
  const show = (chosen) => {
    layers.forEach((layer, index) => layer.classList.toggle("shown", index === chosen));
    buttons.forEach((button, index) =>
      button.setAttribute("aria-pressed", String(index === kept)));
  };
  buttons.forEach((button, index) => {
    button.addEventListener("pointerenter", () => show(index));
    button.addEventListener("focus", () => show(index));
    button.addEventListener("pointerleave", () => show(kept));
    button.addEventListener("blur", () => show(kept));
    button.addEventListener("click", () => {
      kept = kept === index ? -1 : index;
      show(kept);
    });
  });
  show(kept);
}

// Sort by name, or by score or presence of a text.
const select = document.getElementById("key");
const keys = [{ label: "order of the run" }, { label: "name", value: null }];
if (cards.length) {
  const { texts, presence } = values.get(cards[0]);
  for (const kind of presence ? ["score", "presence"] : ["score"]) {
    texts.forEach((text, index) => keys.push({ label: `${kind} of ${text}`, value: [kind, index] }));
  }
}
for (const key of keys) select.add(new Option(key.label));

select.addEventListener("change", () => {
  const { value } = keys[select.selectedIndex];
  const number = (card) => values.get(card)[value[0]][value[1]];
  const order = value === undefined
    ? () => 0
    : value === null
      ? (a, b) => values.get(a).name.localeCompare(values.get(b).name)
      : (a, b) => number(b) - number(a);
  document.querySelector("main").append(...[...cards].sort(order));
});
