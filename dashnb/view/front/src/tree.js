// Trees `[tag, attributes, ...children]` as elements, and elements brought from one tree to the next.
//
// Only what is named here can come into a page. Something else becomes an empty text, so that the
// children of an element and of its tree stay in step.

const SVG = "http://www.w3.org/2000/svg";
const words = (text) => new Set(text.split(" "));

const HTML_TAGS = words(
  "div span p h1 h2 h3 h4 h5 h6 ul ol li blockquote hr table thead tbody tr th td img pre code a strong em s br " +
    "wbr details summary",
);
const SVG_TAGS = words("svg g circle line path rect text title");
const ATTRIBUTES = words(
  "style class alt title target rel start open role loading referrerpolicy viewBox width height x y x1 y1 x2 y2 cx cy " +
    "r rx ry d points transform fill fill-opacity stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin " +
    "stroke-dasharray opacity text-anchor dominant-baseline font-size font-family font-weight preserveAspectRatio",
);
// What the kernel writes, which names nothing that a browser could fetch.
const DECLARATION = /^\s*((?!position)[a-z-]+\s*:([\w\s#%.,'"+-]|rgba?\([\d\s.,%]+\))*)?$/i;
const COLOUR = /^([a-z]+|#[0-9a-f]{3,8}|rgba?\([\d\s.,%]+\))$/i;
const HREF = /^https?:\/\/\S/i;
const SRC = /^(https:\/\/\S|data:image\/(png|jpeg|gif|webp);base64,[a-z0-9+/=]+$)/i;

const coloured = new WeakSet();
const turned = new WeakSet(); // the details that the reader opened or closed

/** The node of a tree. */
export function build(tree, inSvg = false) {
  if (typeof tree === "string") return document.createTextNode(tree);
  const [tag, attributes, ...children] = tree;
  const svg = tag === "svg" || (inSvg && SVG_TAGS.has(tag));
  if (!svg && !HTML_TAGS.has(tag)) return document.createTextNode("");
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  if (tag === "img") {
    // Before its address: an attribute that comes later would come too late.
    node.setAttribute("loading", "lazy");
    node.setAttribute("referrerpolicy", "no-referrer");
  }
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...children.map((child) => build(child, svg)));
  return node;
}

function setAttribute(node, name, value) {
  if (isAllowed(name, String(value))) node.setAttribute(name, value);
}

function isAllowed(name, value) {
  if (name === "href") return HREF.test(value);
  if (name === "src") return SRC.test(value);
  if (name === "style") return value.split(";").every((part) => DECLARATION.test(part));
  if (name === "fill" || name === "stroke") return COLOUR.test(value);
  return ATTRIBUTES.has(name) || /^aria-[a-z]+$/.test(name);
}

/**
 * Brings the children of `parent` from `offset` on from the trees `olds` to the trees `news`. What is
 * alike stays, so that a selection in it does; text that only grew is appended to.
 */
export function patchChildren(parent, offset, olds, news) {
  const both = Math.min(olds.length, news.length);
  for (let index = 0; index < both; index += 1) patch(parent, offset + index, olds[index], news[index]);
  for (let index = both; index < olds.length; index += 1) parent.childNodes[offset + both].remove();
  const next = parent.childNodes[offset + both] ?? null;
  const inSvg = parent.namespaceURI === SVG;
  for (const tree of news.slice(both)) parent.insertBefore(build(tree, inSvg), next);
}

function patch(parent, position, old, tree) {
  const node = parent.childNodes[position];
  if (typeof old === "string" && typeof tree === "string") patchText(node, old, tree);
  else if (old[0] !== tree[0] || node.nodeType !== Node.ELEMENT_NODE) {
    node.replaceWith(build(tree, parent.namespaceURI === SVG));
  } else patchElement(node, old, tree);
}

/** Brings an element from one tree to another of the same tag. */
export function patchElement(node, old, tree) {
  patchAttributes(node, old[1], tree[1]);
  if (!coloured.has(node)) patchChildren(node, 0, old.slice(2), tree.slice(2));
  else if (textOf(old) !== textOf(tree)) {
    coloured.delete(node);
    node.replaceChildren(...tree.slice(2).map((child) => build(child)));
  }
}

function textOf(tree) {
  return typeof tree === "string" ? tree : tree.slice(2).map(textOf).join("");
}

function patchText(node, old, text) {
  if (old === text) return;
  let alike = 0;
  while (alike < old.length && old[alike] === text[alike]) alike += 1;
  if (alike === old.length) node.appendData(text.slice(alike));
  else node.replaceData(alike, old.length - alike, text.slice(alike));
}

/** Brings the attributes of an element up to date; a `details` that the reader turned stays as it is. */
function patchAttributes(node, old, attributes) {
  if (node.localName === "details" && node.open !== "open" in old) turned.add(node);
  for (const name of Object.keys({ ...old, ...attributes })) {
    if (old[name] === attributes[name] || (name === "open" && turned.has(node))) continue;
    if (name in attributes && isAllowed(name, String(attributes[name]))) node.setAttribute(name, attributes[name]);
    else node.removeAttribute(name);
  }
}

/**
 * Colours the text of an element: `spans` are pairs of an inline style and a length in UTF-16 units.
 * False if they do not add up to the text or the element has its colours.
 */
export function colour(node, spans) {
  const text = node.textContent;
  const total = spans.reduce((sum, [, length]) => sum + length, 0);
  if (coloured.has(node) || total !== text.length) return false;
  let start = 0;
  const parts = spans.map(([style, length]) => {
    const words = text.slice(start, (start += length));
    return build(style ? ["span", { style }, words] : words);
  });
  node.replaceChildren(...parts);
  coloured.add(node);
  return true;
}
