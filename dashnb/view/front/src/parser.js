// The Markdown parser: markdown-it without its renderer and its presets, with the rules of our own for
// formulas and for emphasis beside Chinese, Japanese and Korean text.

import Block from "markdown-it/lib/parser_block.mjs";
import Inline from "markdown-it/lib/parser_inline.mjs";
import { parseLinkDestination, parseLinkLabel, parseLinkTitle } from "markdown-it/lib/helpers/index.mjs";
import Token from "markdown-it/lib/token.mjs";
import emphasis from "markdown-it/lib/rules_inline/emphasis.mjs";
import strikethrough from "markdown-it/lib/rules_inline/strikethrough.mjs";
import { encoded } from "./address.js";
import { isHarmless, refusing } from "./formula.js";

export const NESTING_AT_MOST = 40;
const FORMULA_AT_MOST = 2000;
const BRACKETS_AT_MOST = 1000; // in a paragraph; looking for their links takes the square of their number

export const WIDE =
  "\\u2e80-\\u312f\\u31a0-\\ua4cf\\uf900-\\ufaff\\ufe30-\\ufe4f\\uff01-\\uff9f\\uffe0-\\uffe6\\u{20000}-\\u{3ffff}";
const EAST_ASIAN = new RegExp(`[${WIDE}\\u1100-\\u11ff\\u3130-\\u318f\\uac00-\\ud7ff]`, "u");
const PUNCTUATION = /[\p{P}\p{S}]/u;
const BLANK = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const WIDE_BLANK = /[\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
// Digits, and those that stand high, low or in a circle.
const DIGIT =
  /^[\p{Nd}²³¹፩-፱᧚⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]/u;
const FORMULAS = [
  ["$$", "$$"],
  ["\\[", "\\]"],
  ["\\(", "\\)"],
  ["$", "$"],
];

/** Text as tokens of markdown-it. */
export class Parser {
  /** `look` says which commands of formulas are refused. */
  constructor(look) {
    this.refused = refusing(look.formula);
    this.options = { html: false, maxNesting: NESTING_AT_MOST };
    this.helpers = { parseLinkDestination, parseLinkLabel, parseLinkTitle };
    this.block = new Block();
    this.inline = new Inline();
    this.inline.ruler.before("escape", "formula", formula);
    this.inline.ruler.at("emphasis", eastAsian(emphasis.tokenize));
    this.inline.ruler.at("strikethrough", eastAsian(strikethrough.tokenize));
  }

  /** The tokens of whole blocks; `definitions` are the known link definitions, to which new ones are added. */
  parse(text, definitions) {
    const tokens = [];
    const env = { references: definitions };
    this.block.parse(text.replaceAll("\0", "\ufffd"), this, env, tokens);
    for (const token of tokens) {
      if (token.type !== "inline") continue;
      token.content = trimmed(token.content);
      if (token.content.split("[").length - 1 > BRACKETS_AT_MOST) token.children.push(word(token.content));
      else this.inline.parse(token.content, this, env, token.children);
    }
    return tokens;
  }

  /** Adds the link definitions of a text to the known ones. */
  define(text, definitions) {
    this.block.parse(text.replaceAll("\0", "\ufffd"), this, { references: definitions }, []);
  }

  // Links are judged when trees are made of them, so that their words are kept.
  validateLink() {
    return true;
  }

  normalizeLink(url) {
    return encoded(url);
  }

  // As it was written: letters that look like others stay what they are.
  normalizeLinkText(url) {
    return url;
  }
}

/** A token of plain words. */
function word(content) {
  return Object.assign(new Token("text", "", 0), { content });
}

/** The text without blanks at its ends, wide ones too, as the kernel's parser has it. */
function trimmed(text) {
  let [start, end] = [0, text.length];
  while (start < end && WIDE_BLANK.test(text[start])) start += 1;
  while (end > start && WIDE_BLANK.test(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

/** Takes a formula as it is. A dollar sign before a blank or after one, or before a digit, is money. */
function formula(state, silent) {
  for (const [start, end] of FORMULAS) {
    if (!state.src.startsWith(start, state.pos)) continue;
    const inside = state.pos + start.length;
    const stop = Math.min(state.posMax, inside + FORMULA_AT_MOST);
    const length = state.src.slice(inside, stop).indexOf(end);
    if (length < 1) continue;
    const close = inside + length;
    if (start === "$" && !isFormula(state.src, inside, close)) continue;
    const whole = state.src.slice(state.pos, close + end.length);
    if (!silent && isHarmless(whole, state.md.refused)) state.push("formula", "", 0).content = whole;
    else if (!silent) state.pending += whole;
    state.pos = close + end.length;
    return true;
  }
  return false;
}

function isFormula(text, start, end) {
  const blank = BLANK.test(text[start]) || BLANK.test(text[end - 1]);
  return !blank && !DIGIT.test(text.slice(end + 1, end + 3)) && !text.slice(start, end).includes("\n\n");
}

/** The rule for `*` or `~`, but punctuation beside East Asian text counts as a letter does. */
function eastAsian(rule) {
  return (state, silent) => {
    const start = state.pos;
    const known = state.delimiters.length;
    const found = rule(state, silent);
    for (const delimiter of state.delimiters.slice(known)) {
      if (delimiter.marker !== 0x5f /* _ */) {
        [delimiter.open, delimiter.close] = flanks(state.src, start, state.posMax);
      }
    }
    return found;
  };
}

function flanks(text, start, stop) {
  let end = start;
  while (end < stop && text[end] === text[start]) end += 1;
  const before = start ? lastCharacter(text.slice(Math.max(0, start - 2), start)) : " ";
  const after = end < stop ? String.fromCodePoint(text.codePointAt(end)) : " ";
  return [mayOpen(before, after), mayOpen(after, before)];
}

/** The last character of a text. Not by a pattern: some browsers find no pair of surrogates before `$`. */
export function lastCharacter(text) {
  return [...text.slice(-2)].at(-1) ?? "";
}

function mayOpen(before, after) {
  if (BLANK.test(after)) return false;
  if (!PUNCTUATION.test(after)) return true;
  return BLANK.test(before) || PUNCTUATION.test(before) || EAST_ASIAN.test(before) || EAST_ASIAN.test(after);
}
