// Room for a break in what has no blanks: browsers take the square of its length to set a word that is
// longer than the line.

export const UNBROKEN_AT_MOST = 200; // characters

// Between two of these characters a line may break; Chinese, Japanese and Korean are written without blanks.
const BREAKABLE =
  "\\u2e80-\\u2fff\\u3005-\\u3007\\u3041-\\u30ff\\u3105-\\u318e\\u31a0-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff\\u{20000}-\\u{3ffff}";
const BOUND = `[^ \\t\\n${BREAKABLE}]`;
const UNBROKEN = new RegExp(`(?:${BOUND}[${BREAKABLE}]?){${UNBROKEN_AT_MOST}}(?=${BOUND})`, "gu");
const BREAK = new RegExp(`[ \\t\\n]|[${BREAKABLE}]{2}`, "u");

/** The text in pieces between which a line may break, one piece if it has blanks enough. */
export function pieces(text) {
  if (text.length <= UNBROKEN_AT_MOST) return [text];
  const result = [];
  let start = 0;
  for (const { 0: run, index } of text.matchAll(UNBROKEN)) {
    result.push(text.slice(start, index + run.length));
    start = index + run.length;
  }
  return [...result, text.slice(start)];
}

/** Whether a line may break somewhere within the text. */
export const mayBreak = (text) => BREAK.test(text);
