// Tells a screen reader what is new, not faster than it can be said.

const PAUSE = 4000; // milliseconds
const CHARACTERS = 400;

export class Announcer {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "dashnb-unseen";
    this.element.setAttribute("aria-live", "polite");
    this.words = "";
    this.passages = "";
  }

  /** What happens now; only the latest is said. */
  say(text) {
    this.words = text;
    this.soon();
  }

  /** A passage of the answer; passages are said one after another. */
  read(text) {
    const passage = text.replace(/\s+/g, " ").trim();
    if (!passage || this.passages.length >= CHARACTERS) return;
    const joined = this.passages ? `${this.passages} ${passage}` : passage;
    this.passages = joined.length > CHARACTERS ? `${joined.slice(0, CHARACTERS)}…` : joined;
    this.soon();
  }

  stop() {
    clearTimeout(this.timer);
  }

  soon() {
    if (!this.timer) this.speak();
  }

  speak() {
    const said = [this.words, this.passages].filter(Boolean).join(" ");
    this.words = this.passages = "";
    this.timer = said ? setTimeout(() => this.speak(), PAUSE) : undefined;
    if (said) this.element.textContent = said;
  }
}
