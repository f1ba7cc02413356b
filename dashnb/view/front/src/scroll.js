// A reader at the end of what grows stays at its end; any other is left where they are.

/** Does `change`, and scrolls by as much as the lower edge of `element` went out of sight, if it was in sight. */
export function followed(element, change) {
  const before = edges(element);
  change();
  if (!before || before.end > before.fold + 1 || before.end < before.top) return;
  const after = edges(element);
  const below = after ? after.end - after.fold : 0;
  if (below > 0 && after.end > before.end) before.scroller.scrollTop += below;
}

function edges(element) {
  const scroller = element.isConnected && scrollerOf(element);
  if (!scroller) return null;
  const whole = scroller === document.scrollingElement;
  const box = whole ? { top: 0, bottom: innerHeight } : scroller.getBoundingClientRect();
  return { scroller, top: box.top, fold: box.bottom, end: element.getBoundingClientRect().bottom };
}

function scrollerOf(element) {
  for (let parent = element.parentElement; parent; parent = parent.parentElement) {
    const scrolls = /auto|scroll|overlay/.test(getComputedStyle(parent).overflowY);
    if (scrolls && parent.scrollHeight > parent.clientHeight) return parent;
  }
  return document.scrollingElement;
}
