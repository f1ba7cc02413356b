// Addresses as they stand in a link.

import * as punycode from "./punycode.js";

const BEFORE_HOST = String.raw`^\s*(?:https?:\/\/|mailto:(?:\/\/)?|\/\/)(?:[^/?#]*@)?`;
const AFTER_HOST = "%/?;#'{}|\\\\^`<>\" \\t\\r\\n";
const LABEL = String.raw`[\w+\x80-\u{10ffff}-]{0,63}(?:\.|(?=(?::\d*)?(?:[${AFTER_HOST}]|$)))`;
const HOST = new RegExp(`(${BEFORE_HOST})((?:${LABEL})*)`, "iu");
const IN_BRACKETS = new RegExp(
  String.raw`(${BEFORE_HOST}\[)([^${AFTER_HOST}]*:[^${AFTER_HOST}]*)(\](?::\d*)?(?=[${AFTER_HOST}]|$))`,
  "i",
);

/** The address with everything that is not plain ASCII encoded. */
export function encoded(address) {
  const plain = withLabels(address.trim(), (label) =>
    /[^\0-\x7e]/.test(label) ? `xn--${punycode.encode(label)}` : label,
  );
  const parts = IN_BRACKETS.exec(plain);
  if (!parts) return percent(plain);
  const [start, open, host, close] = parts;
  return percent(open.slice(0, -1)) + `[${percent(host)}${close}` + percent(plain.slice(start.length));
}

function withLabels(address, change) {
  return address.replace(HOST, (whole, before, host) => {
    try {
      return before + host.split(/[.\u3002\uff0e\uff61]/).map(change).join(".");
    } catch {
      return whole;
    }
  });
}

/** Percent signs for what may not stand in an address; those that stand there are kept. */
function percent(text) {
  return encodeURI(text.replace(/\p{Cs}/gu, "\ufffd")).replace(/%25([0-9a-f]{2})/gi, "%$1");
}
