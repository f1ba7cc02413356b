// A reader at the end of what grows stays at its end; any other is left where they are.

const REMEMBERED = 2000; // milliseconds for which a scroller is taken to be the same

export class Follower {
  /** @param {Element} element What grows. */
  constructor(element) {
    this.element = element;
    this.lookedAt = -Infinity;
  }

  /** Does `change`, and scrolls by as much as the lower edge went out of sight, if it was in sight. */
  follow(change) {
    const before = this.edges();
    change();
    if (!before || before.end > before.fold + 1 || before.end < before.top) return;
    const after = this.edges();
    const below = after ? after.end - after.fold : 0;
    if (below > 0 && after.end > before.end) before.scroller.scrollTop += below;
  }

  edges() {
    const scroller = this.element.isConnected && this.scroller();
    if (!scroller) return null;
    const whole = scroller === document.scrollingElement;
    const box = whole ? { top: 0, bottom: innerHeight } : scroller.getBoundingClientRect();
    return { scroller, top: box.top, fold: box.bottom, end: this.element.getBoundingClientRect().bottom };
  }

  /** What scrolls the element. Looking for it asks for the layout of every ancestor, so it is remembered. */
  scroller() {
    const now = performance.now();
    const scrolls = this.found?.contains(this.element) && this.found.scrollHeight > this.found.clientHeight;
    if (!scrolls || now - this.lookedAt > REMEMBERED) {
      this.found = scrollerOf(this.element);
      this.lookedAt = now;
    }
    return this.found;
  }
}

function scrollerOf(element) {
  for (let parent = element.parentElement; parent; parent = parent.parentElement) {
    const scrolls = /auto|scroll|overlay/.test(getComputedStyle(parent).overflowY);
    if (scrolls && parent.scrollHeight > parent.clientHeight) return parent;
  }
  return document.scrollingElement;
}
