// At the end the notebook shows what it keeps in place of this view. The same words stand in both; so
// the reader's elements are moved into the new frame, and a selection and open details last.
//
// If anything is not as expected nothing is done: what the notebook keeps stands as it is.

const PATIENCE = 3000; // milliseconds
const FORMULA = /^(\$|\\[([]).+/s;

/** Remembers the place of a view in its notebook; to be asked while the view stands there. */
export class Handover {
  /**
   * @param {Element} root What was drawn.
   * @param {() => Iterable<Node>} moved What goes over.
   * @param {boolean} isParked True for a view that lives on there, as somebody has still to decide.
   */
  constructor(root, moved, isParked = false) {
    this.root = root;
    this.moved = moved;
    this.isParked = isParked;
    const child = root.closest(".jp-OutputArea-child");
    this.area = child?.closest(".jp-OutputArea");
    this.index = child ? outputsOf(this.area).indexOf(child) : -1;
    this.remember();
    this.remembering = () => this.remember();
    document.addEventListener("selectionchange", this.remembering);
  }

  /** Waits for the notebook's own output and moves the elements there. */
  begin() {
    document.removeEventListener("selectionchange", this.remembering);
    if (this.index < 0) return;
    if (this.move()) return;
    const observer = new MutationObserver(() => {
      if (this.move()) observer.disconnect();
    });
    observer.observe(this.area, { childList: true, subtree: true });
    setTimeout(() => observer.disconnect(), PATIENCE);
  }

  remember() {
    if (!this.root.isConnected) return;
    const selection = getSelection();
    const range = selection.rangeCount ? selection.getRangeAt(0) : null;
    const inside = range && !range.collapsed && this.root.contains(range.commonAncestorContainer);
    // The ends, not the range: a range is moved when its elements leave the page.
    this.selected = inside && [selection.anchorNode, selection.anchorOffset, selection.focusNode, selection.focusOffset];
  }

  move() {
    const output = outputsOf(this.area)[this.index];
    const frame = output?.querySelector(".jp-RenderedHTMLCommon.dashnb, .jp-RenderedHTMLCommon .dashnb");
    if (!frame || frame.contains(this.root) || this.root.contains(frame)) return false;
    if (!this.isParked && hasFormula(this.root)) return true; // the notebook sets formulas, we do not
    frame.replaceChildren(...this.moved());
    if (this.selected && this.selected.every((end) => typeof end === "number" || frame.contains(end))) {
      getSelection().setBaseAndExtent(...this.selected);
    }
    return true;
  }
}

function outputsOf(area) {
  return [...area.children].filter((child) => child.matches(".jp-OutputArea-child"));
}

function hasFormula(root) {
  return [...root.querySelectorAll("span")].some((span) => !span.closest("pre, code") && FORMULA.test(span.textContent));
}
