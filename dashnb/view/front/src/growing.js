// Markdown that grows at its end, inside an element.
//
// Blocks that can no longer change are frozen: their elements are not looked at again, and only the
// text behind them is parsed when more arrives. A definition of a link may stand behind its use; what
// was frozen before it is done once more at the end.

import { GrowingText } from "./growing_text.js";
import { isFence } from "./markdown.js";
import { colour, patchChildren } from "./tree.js";

const MARKDOWN_AT_MOST = 150_000; // characters; what is longer is shown as it is
const DEFINITION = /\]:/;

export class GrowingMarkdown {
  /**
   * @param {Markdown} markdown Makes trees of text.
   * @param {Element} parent Where the blocks stand, behind its first children.
   * @param {number} offset How many children stand before.
   */
  constructor(markdown, parent, offset) {
    this.markdown = markdown;
    this.parent = parent;
    this.offset = offset;
    this.frozen = []; // {tree, source, known}: a block, its text, how many definitions it was made with
    this.open = []; // the trees of the blocks that may still change
    this.definitions = {};
    this.tail = "";
    this.length = 0;
    this.colours = [];
    this.dirty = false;
    this.readyAt = 0; // milliseconds
  }

  append(text) {
    this.length += text.length;
    if (this.rest) this.rest.append(text);
    else {
      this.tail += text;
      this.dirty = true;
    }
  }

  /** Brings the page up to date; the elements that were frozen on the way. */
  flush() {
    if (!this.dirty) return [];
    this.dirty = false;
    if (this.length > MARKDOWN_AT_MOST) return this.giveUp();
    // The second half of a line's end may still be on its way.
    const text = this.tail.replace(/\r\n|\r(?!$)/g, "\n");
    const shown = this.over ? text : text.slice(0, unfinishedPicture(text));
    const blocks = this.markdown.blocks(shown.replace(/\r$/, "\n"), Object.create(this.definitions));
    this.show(blocks.map((block) => block.tree));
    this.tail = text;
    return this.freeze(blocks);
  }

  /** Brings the page up to date for good; the elements that were not frozen before. */
  finish() {
    this.over = true;
    this.dirty ||= !this.rest;
    const fresh = this.flush();
    if (this.rest) return fresh;
    const first = this.offset + this.frozen.length;
    this.open.forEach((_, index) => fresh.push(this.parent.childNodes[first + index]));
    this.markdown.define(this.tail, this.definitions);
    const count = Object.keys(this.definitions).length;
    this.frozen.forEach((block, index) => {
      if (block.known === count || !block.source.includes("[")) return;
      const [again] = this.markdown.blocks(block.source, { ...this.definitions });
      patchChildren(this.parent, this.offset + index, [block.tree], [again.tree]);
      Object.assign(block, { tree: again.tree, known: count });
    });
    return fresh;
  }

  remove() {
    for (let left = this.frozen.length + this.open.length; left > 0; left -= 1) {
      this.parent.childNodes[this.offset].remove();
    }
  }

  /** Colours the fence with this number, or else the first one of this length that has no colours yet. */
  colour(number, spans) {
    const fences = [...this.fences()];
    if (!fences[number] || !colour(fences[number], spans)) fences.some((fence) => colour(fence, spans));
  }

  show(trees) {
    patchChildren(this.parent, this.offset + this.frozen.length, this.open, trees);
    this.open = trees;
  }

  freeze(blocks) {
    const starts = lineStarts(this.tail);
    const count = stableCount(blocks, this.tail, starts);
    if (!count) return [];
    const cut = starts[blocks[count].start];
    this.defineUpTo(cut);
    const known = Object.keys(this.definitions).length;
    const first = this.offset + this.frozen.length;
    blocks.slice(0, count).forEach(({ tree, start }, index) => {
      this.frozen.push({ tree, source: this.tail.slice(starts[start], starts[blocks[index + 1].start]), known });
    });
    this.open = this.open.slice(count);
    this.tail = this.tail.slice(cut);
    return blocks.slice(0, count).map((_, index) => this.parent.childNodes[first + index]);
  }

  defineUpTo(cut) {
    const text = this.tail.slice(0, cut);
    if (DEFINITION.test(text)) this.markdown.define(text, this.definitions);
  }

  giveUp() {
    this.show([["pre", { style: `${this.markdown.look.tags.pre};white-space:pre-wrap` }]]);
    this.rest = new GrowingText(this.parent.childNodes[this.offset + this.frozen.length], 0);
    this.rest.append(this.tail);
    this.tail = "";
    return [];
  }

  *fences() {
    const trees = [...this.frozen.map((block) => block.tree), ...this.open];
    for (const [index, tree] of trees.entries()) yield* fencesOf(tree, this.parent.childNodes[this.offset + index]);
  }
}

/** Where a picture begins whose data are still on their way, or the text's end. */
function unfinishedPicture(text) {
  const middle = text.lastIndexOf("](data:");
  if (middle < 0 || /[)\s]/.test(text.slice(middle))) return text.length;
  const start = text.lastIndexOf("![", middle);
  return start < 0 || /[\]\n]/.test(text.slice(start, middle)) ? text.length : start;
}

function* fencesOf(tree, node) {
  if (isFence(tree)) yield node;
  else if (typeof tree !== "string") {
    for (let index = 2; index < tree.length; index += 1) yield* fencesOf(tree[index], node.childNodes[index - 2]);
  }
}

function lineStarts(text) {
  const starts = [0];
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) starts.push(end + 1);
  return starts;
}

/**
 * How many of the blocks stay what they are, whatever follows. Where a heading, a rule or a fence is
 * over, something new begins. Elsewhere a block is over behind an empty line, once the next line is
 * whole: `2` could still become the `2.` of the list before.
 */
function stableCount(blocks, text, starts) {
  for (let count = blocks.length - 1; count > 0; count -= 1) {
    const { start } = blocks[count];
    const before = blocks[count - 1];
    const isEmpty = /^[ \t]*\n$/.test(text.slice(starts[start - 1], starts[start]));
    if (before.closed && (before.end === start || isEmpty)) return count;
    if (isEmpty && starts.length > start + 1) return count;
  }
  return 0;
}
