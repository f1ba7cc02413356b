// A reader at the end of what grows stays at its end; any other is left where they are.

const REMEMBERED = 2000; // milliseconds for which the ancestors that may scroll are taken to be the same

export class Follower {
  /** @param {Element} element What grows. */
  constructor(element) {
    this.element = element;
    this.lookedAt = -Infinity;
    this.scrollers = [];
  }

  /** Does `change`, and scrolls by as much as the lower edge went out of sight, if it was in sight. */
  follow(change) {
    const before = this.edges();
    change();
    if (!before || before.end > before.fold + 1 || before.end < before.top) return;
    // What did not scroll so far may have begun to, with this change.
    const after = this.edges();
    const below = after ? after.end - after.fold : 0;
    if (below > 0 && after.end > before.end) after.scroller.scrollTop += below;
  }

  edges() {
    if (!this.element.isConnected) return null;
    const scroller = this.scroller();
    const whole = scroller === document.scrollingElement;
    const box = whole ? { top: 0, bottom: innerHeight } : scroller.getBoundingClientRect();
    return { scroller, top: box.top, fold: box.bottom, end: this.element.getBoundingClientRect().bottom };
  }

  /** The nearest ancestor that scrolls. Which ones may is remembered: it takes the style of all of them. */
  scroller() {
    const now = performance.now();
    if (now - this.lookedAt > REMEMBERED || !this.scrollers.every((one) => one.contains(this.element))) {
      this.scrollers = ancestorsThatMayScroll(this.element);
      this.lookedAt = now;
    }
    return this.scrollers.find((one) => one.scrollHeight > one.clientHeight) ?? document.scrollingElement;
  }
}

function ancestorsThatMayScroll(element) {
  const found = [];
  for (let parent = element.parentElement; parent; parent = parent.parentElement) {
    if (/auto|scroll|overlay/.test(getComputedStyle(parent).overflowY)) found.push(parent);
  }
  return found;
}
