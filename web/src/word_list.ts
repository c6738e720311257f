/** The words of the page: a choice of those of the site, and new ones if it has a text tower. */
import { create, element } from "./elements.js";

const SHOWN = 40;

export class WordList {
  readonly active: string[] = [];
  private readonly chips = element("chips", HTMLElement);

  constructor(
    private readonly known: readonly string[],
    private readonly canAdd: boolean,
    private readonly change: () => void,
    private readonly addNew: (word: string) => Promise<boolean>,
  ) {
    const list = element("known", HTMLDataListElement);
    for (const word of known) list.append(Object.assign(create("option"), { value: word }));
    element("word-label", HTMLLabelElement).textContent = canAdd
      ? "Add any word"
      : `Add one of the ${known.length} words of this site`;
    element("add", HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      void this.submit();
    };
  }

  /** Chooses these words; those that the site does not know are left out. */
  choose(words: readonly string[]): void {
    this.active.splice(0, Infinity, ...new Set(words.filter((word) => this.known.includes(word))));
    this.draw();
  }

  private async submit(): Promise<void> {
    const input = element("word", HTMLInputElement);
    const word = input.value.trim().replace(/\s+/g, " ");
    if (!word || this.active.includes(word)) {
      input.value = "";
      return;
    }
    input.setCustomValidity("");
    const same = this.known.find((known) => known.toLowerCase() === word.toLowerCase());
    if (same === undefined && !this.canAdd) {
      input.setCustomValidity("This site has no such word; it was exported with a fixed list.");
      input.reportValidity();
      input.oninput = () => input.setCustomValidity("");
      return;
    }
    if (same === undefined && !(await this.addNew(word))) return;
    input.value = "";
    if (!this.active.includes(same ?? word)) this.active.push(same ?? word);
    this.draw();
    this.change();
  }

  private draw(): void {
    const few = this.known.length <= SHOWN ? this.known : [];
    const words = [...new Set([...few, ...this.active])];
    this.chips.replaceChildren(
      ...words.map((word) => {
        const chip = create("button", { kind: "chip", text: word });
        chip.type = "button";
        chip.setAttribute("aria-pressed", String(this.active.includes(word)));
        chip.onclick = () => this.toggle(word);
        return chip;
      }),
    );
  }

  private toggle(word: string): void {
    const at = this.active.indexOf(word);
    if (at < 0) this.active.push(word);
    else this.active.splice(at, 1);
    this.draw();
    const again = [...this.chips.children].find((chip) => chip.textContent === word);
    if (again instanceof HTMLElement) again.focus();
    this.change();
  }
}
