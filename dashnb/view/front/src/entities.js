// Named character references, read by the browser's own table. Stands in for the package `entities`.

const known = new Map();

/** The characters that `&name;` stands for, or the text itself if there is no such name. */
export function decodeHTML(reference) {
  if (!known.has(reference)) known.set(reference, decoded(reference));
  return known.get(reference);
}

export { decodeHTML as decodeHTMLStrict };

function decoded(reference) {
  if (!/^&[a-z][a-z0-9]+;$/i.test(reference)) return reference;
  // The letter in front keeps blanks such as &NewLine; from being dropped.
  const text = new DOMParser().parseFromString(`x${reference}`, "text/html").body.textContent.slice(1);
  // A semicolon that is left over belongs to a shorter name, as in &notit; — which Markdown does not know.
  return text.endsWith(";") && reference !== "&semi;" ? reference : text;
}
