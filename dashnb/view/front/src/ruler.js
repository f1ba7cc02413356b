// The rules of a parser in their order. Stands in for markdown-it's own, which can also switch rules
// on and off.

export default class Ruler {
  constructor() {
    this.rules = [];
    this.chains = {};
  }

  push(name, rule, { alt = [] } = {}) {
    this.rules.push({ name, rule, chains: ["", ...alt] });
  }

  at(name, rule) {
    this.rules.find((known) => known.name === name).rule = rule;
  }

  before(next, name, rule) {
    const index = this.rules.findIndex((known) => known.name === next);
    this.rules.splice(index, 0, { name, rule, chains: [""] });
  }

  /** The rules of a chain; the parser asks once all are known. */
  getRules(chain) {
    this.chains[chain] ??= this.rules.filter(({ chains }) => chains.includes(chain)).map(({ rule }) => rule);
    return this.chains[chain];
  }
}
