// Markdown as trees `[tag, attributes, ...children]`, block by block. The same rules as those by which
// the kernel makes the saved output: no raw HTML, links to the web only, every element styled in place.

import { UNBROKEN_AT_MOST, mayBreak, pieces } from "./breaks.js";
import { NESTING_AT_MOST, Parser, WIDE, lastCharacter } from "./parser.js";

const LINK = /^https?:\/\/\S/i;
const PICTURE = /^(https:\/\/\S|data:image\/(png|jpeg|gif|webp);base64,[a-z0-9+/=]+$)/i;
const HTTP = /^http:\/{2,}(?:[^/?#]*@)?([^/?#@]+)(?![^/?#])/i;
const LANGUAGE = /^[\s\x1c-\x1f\x85]*([\p{L}\p{N}_+#-]+)/u;
const TASK = /^\[([ xX])\] /;
const STARTS_WIDE = new RegExp(`^[${WIDE}]`, "u");

/** Whether a tree is the `code` of a fence. */
const fences = new WeakSet();
export const isFence = (tree) => fences.has(tree);

export class Markdown {
  /** `look` says the inline style of every tag. */
  constructor(look) {
    this.look = look;
    this.parser = new Parser(look);
  }

  /**
   * The top-level blocks of a text: `{tree, start, end, closed}`, with its lines, and whether the block
   * is over for certain where the next one begins.
   */
  blocks(text, definitions) {
    const tokens = this.parser.parse(text, definitions);
    const trees = new Builder(this.look, tokens).trees();
    const tops = tokens.filter((token) => token.level === 0 && token.nesting >= 0);
    return trees.map((tree, index) => {
      const { type, map } = tops[index];
      return { tree, start: map[0], end: map[1], closed: ["heading_open", "fence", "hr"].includes(type) };
    });
  }

  define(text, definitions) {
    this.parser.define(text, definitions);
  }
}

class Builder {
  constructor(look, tokens) {
    this.look = look;
    this.tokens = tokens;
    this.open = [[]]; // the elements that are open, the page outermost
  }

  trees() {
    this.tokens.forEach((token, index) => this.take(token, index));
    return this.open[0];
  }

  take(token, index) {
    if (token.type === "inline") this.words(token.children, this.tokens[index - 2]?.type === "list_item_open");
    else if (token.type === "fence" || token.type === "code_block") this.put(this.code(token));
    else if (token.hidden) return;
    else if (token.nesting < 0) this.open.pop();
    else this.begin(token, index);
  }

  begin(token, index) {
    const element = [token.tag, { ...Object.fromEntries(token.attrs ?? []), ...this.style(token, index) }];
    this.put(token.type === "table_open" ? ["div", { style: this.look.scroll }, element] : element);
    if (token.nesting > 0) this.open.push(element);
  }

  style(token, index) {
    const own = this.look.tags[token.tag];
    if (!own) return {};
    const next = this.tokens[index + 3]?.type;
    if (token.type === "paragraph_open" && (next === "blockquote_close" || next === "list_item_close")) {
      return { style: this.look.paragraph_last };
    }
    if ((token.tag === "ul" || token.tag === "ol") && token.level) return { style: this.look.nested_list };
    const aligned = token.attrGet("style") ?? (/^t[dh]$/.test(token.tag) ? "text-align:left" : "");
    return { style: [own, aligned].filter(Boolean).join(";") };
  }

  code(token) {
    const language = token.type === "fence" ? LANGUAGE.exec(token.info)?.[1] : undefined;
    const attributes = { style: this.look.tags["pre code"], ...(language && { class: `language-${language}` }) };
    const code = ["code", attributes];
    const text = withoutLastBreaks(token.content);
    if (text) code.push(...withRoom(text));
    if (token.type === "fence") fences.add(code);
    return ["pre", { style: this.look.tags.pre }, code];
  }

  put(node) {
    this.open.at(-1).push(node);
  }

  // --- inline ------------------------------------------------------------------------------------

  words(tokens, inItem) {
    const kept = withBreaks(allowed(joined(tokens)));
    if (inItem) showTask(kept[0]);
    let links = 0;
    kept.forEach((token, index) => {
      if (token.type === "link_open") links += 1;
      if (token.type === "link_close") links -= 1;
      if (token.nesting > 0) this.enter(token);
      else if (token.nesting < 0) this.open.pop();
      else this.leaf(token, kept, index, links > 0);
    });
  }

  enter(token) {
    const element = token.type === "link_open" ? link(token.attrGet("href")) : [token.tag, {}];
    this.put(element);
    this.open.push(element);
  }

  leaf(token, tokens, index, inLink) {
    const parent = this.open.at(-1);
    if (token.type === "text" || token.type === "text_special") addWords(parent, token.content);
    else if (token.type === "formula") parent.push(["span", {}, token.content]);
    else if (token.type === "code_inline") addCode(parent, this.look.tags.code, token.content);
    else if (token.type === "wbr") parent.push(["wbr", {}]);
    else if (token.type === "image") this.picture(parent, token, inLink);
    else if (token.type === "softbreak") addText(parent, softBreak(tokens, index));
    else if (token.type === "hardbreak") {
      parent.push(["br", {}]);
      addText(parent, "\n");
    }
  }

  picture(parent, token, inLink) {
    const words = plain(token.children);
    const url = token.attrGet("src") ?? "";
    if (PICTURE.test(url)) parent.push(["img", { src: url, alt: words, style: this.look.tags.img }]);
    else addPictureWords(parent, url, words, inLink);
  }
}

/** What stands for a picture that is not shown: nobody is told of the reader before a click. */
function addPictureWords(parent, url, alt, inLink) {
  const host = HTTP.exec(url)?.[1];
  const element = host && !inLink ? link(url) : parent;
  if (element !== parent) parent.push(element);
  if (!host) addWords(element, alt);
  else addWords(element, alt.trim() ? `${alt} (${host})` : host);
}

function link(url) {
  return ["a", { href: url, title: url, target: "_blank", rel: "noopener noreferrer" }];
}

/** The tokens without the links that are not allowed and the marks that nest too deep; their words stay. */
function allowed(tokens) {
  const stay = []; // of each mark that is open, whether it is kept
  let depth = 0;
  return tokens.filter((token) => {
    if (!token.nesting) return true;
    if (token.nesting > 0) stay.push(depth < NESTING_AT_MOST && mayStand(token));
    const kept = token.nesting > 0 ? stay.at(-1) : stay.pop();
    if (kept) depth += token.nesting;
    return kept;
  });
}

function mayStand(token) {
  return token.type !== "link_open" || LINK.test(token.attrGet("href") ?? "");
}

/** The tokens with room for a break where a word goes on through many of them. */
function withBreaks(tokens) {
  let unbroken = 0;
  return tokens.flatMap((token) => {
    if (!token.content || token.type === "image") return [token];
    const room = unbroken > UNBROKEN_AT_MOST ? [{ type: "wbr", nesting: 0 }] : [];
    unbroken = mayBreak(token.content) ? 0 : (room.length ? 0 : unbroken) + [...token.content].length;
    return [...room, token];
  });
}

/** Escaped characters become text, and text beside text one token. */
function joined(tokens) {
  const result = [];
  for (const token of tokens) {
    if (token.type === "text_special") token.type = "text";
    const last = result.at(-1);
    if (token.type === "text" && last?.type === "text") last.content += token.content;
    else result.push(token);
  }
  return result;
}

function showTask(token) {
  const task = token?.type === "text" && TASK.exec(token.content);
  if (task) token.content = (task[1] === " " ? "☐ " : "☑ ") + token.content.slice(task[0].length);
}

/** The words of a picture's description. */
function plain(tokens) {
  return (tokens ?? [])
    .map((token) => {
      if (token.type === "image") return plain(token.children);
      if (token.type === "softbreak" || token.type === "hardbreak") return "\n";
      return ["text", "text_special", "code_inline"].includes(token.type) ? token.content : "";
    })
    .join("");
}

/** A line break between two full-width characters adds no blank. */
function softBreak(tokens, index) {
  const before = lastCharacter(beside(tokens, index, -1));
  return STARTS_WIDE.test(before) && STARTS_WIDE.test(beside(tokens, index, 1)) ? "" : "\n";
}

/** The text beside a token, past the marks of emphasis and links. */
function beside(tokens, index, direction) {
  index += direction;
  while (tokens[index] && !tokens[index].content && tokens[index].tag !== "br") index += direction;
  return tokens[index]?.content ?? "";
}

/**
 * Adds words, every dollar sign and backslash in an element of its own so that a front end sees no
 * formulas in them.
 */
function addWords(parent, text) {
  pieces(text).forEach((piece, index) => {
    if (index) parent.push(["wbr", {}]);
    for (const part of piece.split(/([$\\])/)) {
      if (part === "$" || part === "\\") parent.push(["span", {}, part]);
      else addText(parent, part);
    }
  });
}

function addCode(parent, style, text) {
  parent.push(["code", { style }, ...withRoom(text)]);
}

/** The text with room for breaks in what has no blanks. */
function withRoom(text) {
  return pieces(text).flatMap((piece, index) => (index ? [["wbr", {}], piece] : [piece]));
}

function withoutLastBreaks(text) {
  let end = text.length;
  while (text[end - 1] === "\n") end -= 1;
  return text.slice(0, end);
}

/** Adds text; what stands beside text is one text, as in a page. */
function addText(parent, text) {
  if (!text) return;
  if (parent.length > 2 && typeof parent.at(-1) === "string") parent[parent.length - 1] += text;
  else parent.push(text);
}
