// Which formulas are nothing but mathematics, and no deeper than a front end can set. The same rule as
// the kernel's, which says why: what makes addresses, styles, names and attributes of its argument,
// shows something else than it says, or gives a command another meaning for the whole page is refused.
// The kernel says which commands and environments.

const NESTING_AT_MOST = 25;
const GROUPS_AT_MOST = 400;

const GROUPS = /\\(left|right|begin|end)(?![A-Za-z])|\\.|([{}])/gsu;
const OPENED_BY = { "}": "{", right: "left", end: "begin" };

/** What finds in a formula what is refused, of the expressions that the kernel has for it. */
export function refusing({ commands, environments }) {
  return new RegExp(
    [
      String.raw`\/\/|\burl\b|\\(?:(?:${commands})(?![A-Za-z])`,
      String.raw`[A-Za-z]*color(?:box)?(?![A-Za-z])(?![ \t-\r]*(?:\[\w+\][ \t-\r]*)?\{[\w \t-\r#.,%-]*\})`,
      String.raw`bbox(?![ \t-\r]*(?:\[[\w \t-\r#.,%-]*\][ \t-\r]*)?\{)`,
      String.raw`[bx]?cancel[ \t-\r]*\[`,
      String.raw`(?:begin|end)(?![A-Za-z])(?![ \t-\r]*\{(?:${environments})\*?\}))`,
    ].join("|"),
  );
}

export function isHarmless(formula, refused) {
  if (refused.test(formula)) return false;
  const depths = { "{": 0, left: 0, begin: 0 }; // apart, so that too many ends of one kind hide no other
  let [groups, deepest] = [0, 0];
  for (const [, command, brace] of formula.matchAll(GROUPS)) {
    const mark = command ?? brace;
    if (mark in depths) {
      groups += 1;
      depths[mark] += 1;
      deepest = Math.max(deepest, depths["{"] + depths.left + depths.begin);
    } else if (mark) {
      const opened = OPENED_BY[mark];
      depths[opened] = Math.max(0, depths[opened] - 1);
    }
  }
  return deepest <= NESTING_AT_MOST && groups <= GROUPS_AT_MOST;
}
