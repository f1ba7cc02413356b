// The parts of a page as elements.

import { GrowingMarkdown } from "./growing.js";
import { GrowingText } from "./growing_text.js";
import { build, patchElement } from "./tree.js";

const REST = 4; // how many times as long as a text took it rests before the next time

export class Drawing {
  /**
   * @param {Element} root Where the parts stand.
   * @param {Markdown} markdown Makes trees of text.
   * @param {() => number} now Milliseconds that never go back.
   */
  constructor(root, markdown, now = () => performance.now()) {
    this.root = root;
    this.markdown = markdown;
    this.now = now;
    this.parts = new Map();
  }

  apply([name, key, ...rest]) {
    const part = this.parts.get(key);
    if (name === "add") this.add(key, ...rest);
    else if (!part) return;
    else if (name === "shell") this.reshape(part, rest[0]);
    else if (name === "append") part.grown?.append(rest[0]);
    else if (name === "text") this.replace(part, rest[0]);
    else if (name === "code") this.colour(part, ...rest);
    else if (name === "drop") this.drop(key, part);
  }

  /** Draws the texts that grew; the elements that are final now. Texts that rest are left for later. */
  flush() {
    return this.dirty()
      .filter((grown) => grown.readyAt <= this.now())
      .flatMap((grown) => this.draw(grown, () => grown.flush()));
  }

  finish() {
    return this.markdowns().flatMap((grown) => this.draw(grown, () => grown.finish()));
  }

  /** Milliseconds until a text that grew may be drawn; undefined if none did. */
  wait() {
    const times = this.dirty().map((grown) => Math.max(0, grown.readyAt - this.now()));
    return times.length ? Math.min(...times) : undefined;
  }

  markdowns() {
    return [...this.parts.values()].map((part) => part.grown).filter((grown) => grown instanceof GrowingMarkdown);
  }

  dirty() {
    return this.markdowns().filter((grown) => grown.dirty);
  }

  draw(grown, how) {
    const start = this.now();
    const fresh = how();
    grown.readyAt = this.now() + REST * (this.now() - start);
    return fresh;
  }

  add(key, inside, before, shell, mode, text) {
    const parent = inside === "" ? this.root : this.parts.get(inside)?.node;
    if (!parent || this.parts.has(key)) return;
    const node = build(shell);
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    const next = this.parts.get(before)?.node;
    parent.insertBefore(node, next?.parentNode === parent ? next : null);
    const part = { node, shell, mode, inside };
    part.grown = this.growing(part);
    if (text) part.grown?.append(text);
    this.parts.set(key, part);
  }

  growing({ node, shell, mode }) {
    if (mode === "markdown") return new GrowingMarkdown(this.markdown, node, shell.length - 2);
    return mode === "text" ? new GrowingText(node, shell.length - 2) : undefined;
  }

  reshape(part, shell) {
    const { node, grown } = part;
    if (shell[0] !== part.shell[0]) return; // another element would be another part
    patchElement(node, part.shell, shell);
    part.shell = shell;
    if (grown) grown.offset = shell.length - 2;
  }

  replace(part, text) {
    if (!part.grown) return;
    part.grown.remove();
    part.grown = this.growing(part);
    part.grown.append(text);
  }

  colour({ grown }, number, spans) {
    if (!(grown instanceof GrowingMarkdown)) return;
    this.draw(grown, () => grown.flush());
    grown.colour(number, spans);
  }

  drop(key, { node }) {
    node.remove();
    this.parts.delete(key);
    for (const [name, part] of this.parts) if (part.inside === key) this.drop(name, part);
  }
}
