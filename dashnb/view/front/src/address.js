// Addresses as they stand in a link.

import * as punycode from "./punycode.js";

// The user is what stands before the last `@`; asked for ahead, so that earlier ones are not tried in turn.
const BEFORE_HOST = String.raw`^\s*(?:https?:\/\/|mailto:(?:\/\/)?|\/\/)(?:(?=(?<user>[^/?#]*@))\k<user>)?`;
const AFTER_HOST = "%/?;#'{}|\\\\^`<>\" \\t\\r\\n";
const LABEL = String.raw`[\w+\x80-\u{10ffff}-]{0,63}(?:\.|(?=(?::\d*)?(?:[${AFTER_HOST}]|$)))`;
const HOST = new RegExp(`(?<before>${BEFORE_HOST})(?<host>(?:${LABEL})*)`, "iu");
const IN_BRACKETS = new RegExp(
  String.raw`(?<open>${BEFORE_HOST}\[)(?<host>[^${AFTER_HOST}]*)(?<close>\](?::\d*)?(?=[${AFTER_HOST}]|$))`,
  "i",
);

/** The address with everything that is not plain ASCII encoded. */
export function encoded(address) {
  const plain = withLabels(address.trim(), (label) =>
    /[^\0-\x7e]/.test(label) ? `xn--${punycode.encode(label)}` : label,
  );
  const found = IN_BRACKETS.exec(plain);
  if (!found?.groups.host.includes(":")) return percent(plain);
  const [[start], { open, host, close }] = [found, found.groups];
  return percent(open.slice(0, -1)) + `[${percent(host)}${close}` + percent(plain.slice(start.length));
}

function withLabels(address, change) {
  return address.replace(HOST, (whole, ...found) => {
    const { before, host } = found.at(-1);
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
