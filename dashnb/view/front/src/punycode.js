// Names of hosts in letters beyond ASCII, as RFC 3492 writes them.

const BASE = 36;
const FIRST_BIAS = 72;
const FIRST_CODE = 128;

/** A label such as `例え` as the letters behind `xn--`. */
export function encode(label) {
  const codes = [...label].map((character) => character.codePointAt(0));
  const plain = codes.filter((code) => code < FIRST_CODE);
  let result = String.fromCodePoint(...plain) + (plain.length ? "-" : "");
  let done = plain.length;
  let [code, delta, bias] = [FIRST_CODE, 0, FIRST_BIAS];
  while (done < codes.length) {
    const next = Math.min(...codes.filter((other) => other >= code));
    delta += (next - code) * (done + 1);
    code = next;
    for (const other of codes) {
      if (other < code) delta += 1;
      if (other !== code) continue;
      result += written(delta, bias);
      bias = adapted(delta, done + 1, done === plain.length);
      delta = 0;
      done += 1;
    }
    delta += 1;
    code += 1;
  }
  return result;
}

function written(delta, bias) {
  let result = "";
  let rest = delta;
  for (let step = BASE; ; step += BASE) {
    const least = threshold(step, bias);
    if (rest < least) return result + digitOf(rest);
    result += digitOf(least + ((rest - least) % (BASE - least)));
    rest = Math.floor((rest - least) / (BASE - least));
  }
}

function threshold(step, bias) {
  return Math.min(Math.max(step - bias, 1), 26);
}

function adapted(delta, count, isFirst) {
  let rest = Math.floor(delta / (isFirst ? 700 : 2));
  rest += Math.floor(rest / count);
  let step = 0;
  for (; rest > 455; step += BASE) rest = Math.floor(rest / (BASE - 1));
  return step + Math.floor((BASE * rest) / (rest + 38));
}

function digitOf(value) {
  return "abcdefghijklmnopqrstuvwxyz0123456789"[value];
}
