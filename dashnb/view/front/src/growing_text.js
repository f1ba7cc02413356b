// Plain text that grows at its end, inside an element.

import { pieces } from "./breaks.js";

const REMEMBERED = 1000; // UTF-16 units, more than a piece can have

export class GrowingText {
  constructor(parent, offset) {
    this.node = document.createTextNode("");
    this.nodes = [this.node];
    this.word = ""; // what stands behind the last blank or break
    parent.insertBefore(this.node, parent.childNodes[offset] ?? null);
  }

  append(text) {
    const [first, ...others] = pieces(this.word + text);
    this.node.appendData(first.slice(this.word.length));
    others.forEach((piece) => this.begin(piece));
    const last = others.at(-1) ?? first;
    const blank = Math.max(last.lastIndexOf(" "), last.lastIndexOf("\n"), last.lastIndexOf("\t"));
    // Without half a character at its beginning, which would count as a whole one.
    this.word = last.slice(Math.max(blank + 1, last.length - REMEMBERED)).replace(/^[\udc00-\udfff]/, "");
  }

  begin(piece) {
    const [room, node] = [document.createElement("wbr"), document.createTextNode(piece)];
    this.node.after(room, node);
    this.nodes.push(room, node);
    this.node = node;
  }

  remove() {
    this.nodes.forEach((node) => node.remove());
  }
}
