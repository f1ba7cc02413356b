// The live view of a run: an anywidget module. One page for a widget, a drawing for each of its views.

import { Announcer } from "./announcer.js";
import { Approval } from "./approval.js";
import { Drawing } from "./drawing.js";
import { Frames } from "./frames.js";
import { Handover } from "./handover.js";
import { Markdown } from "./markdown.js";
import { Page } from "./page.js";
import { Follower } from "./scroll.js";
import { StopButton } from "./stop_button.js";
import css from "./run_view.css";

const STYLE_ID = "dashnb-run-view";
const STILL = 800; // milliseconds without news after which the view shows that it waits
const READ_ALOUD = "p, h1, h2, h3, h4, h5, h6, ul, ol, blockquote";

class RunView {
  constructor(model, page) {
    this.page = page;
    this.look = model.get("look");
    this.ops = [];
    this.element = division("dashnb-view");
    this.root = division("dashnb-live jp-RenderedHTMLCommon");
    this.root.setAttribute("style", this.look.frame ?? "");
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", model.get("labels")?.answer ?? "Answer");
    this.stop = new StopButton(model);
    this.announcer = new Announcer();
    this.approval = new Approval(model);
    this.follower = new Follower(this.element);
    this.frames = new Frames(() => this.draw());
    this.element.append(this.stop.element, this.root, this.approval.element, this.announcer.element);
    model.on("change:running", () => this.stop.show());
    model.on("msg:custom", (message) => message?.ack && this.acknowledge());
    page.views.add(this);
    this.restart();
    this.wait();
  }

  /** Draws the page from nothing. */
  restart() {
    this.ops = [];
    this.root.replaceChildren();
    this.drawing = new Drawing(this.root, new Markdown(this.look));
    for (const op of this.page.ops()) this.drawing.apply(op);
    this.drawing.flush();
    this.approval.show(this.page.asked);
    if (this.page.ended) this.drawing.finish();
  }

  acknowledge() {
    this.stop.acknowledge();
    this.approval.acknowledge();
  }

  receive(ops) {
    this.wait();
    this.ops.push(...ops);
    // An end is drawn at once: what the notebook keeps may replace this view before the next frame.
    if (ops.some(([name]) => name === "end" || name === "park")) this.draw();
    else this.frames.ask();
  }

  /** Text that arrives moves by itself; an animation beside it would cost a frame for nothing. */
  wait() {
    clearTimeout(this.waiting);
    this.root.classList.remove("dashnb-waiting");
    this.waiting = setTimeout(() => this.root.classList.add("dashnb-waiting"), STILL);
  }

  draw() {
    this.follower.follow(() => this.update());
    const wait = this.drawing.wait();
    if (wait !== undefined) this.frames.askLater(wait);
  }

  update() {
    const ops = this.ops.splice(0);
    for (const op of ops) {
      if (op[0] === "say") this.announcer.say(op[1]);
      else if (op[0] === "ask") this.approval.show(op[1]);
      else this.drawing.apply(op);
    }
    const isEnd = ops.some(([name]) => name === "end");
    const fresh = isEnd ? this.drawing.finish() : this.drawing.flush();
    for (const block of fresh) if (block.matches(READ_ALOUD)) this.announcer.read(block.textContent);
    if (isEnd) this.handOver(new Handover(this.root, () => this.root.childNodes));
    else if (ops.some(([name]) => name === "park")) this.handOver(new Handover(this.root, () => [this.element], true));
  }

  /** Lets the elements go over into what the notebook shows in place of this view. */
  handOver(handover) {
    this.handover = handover;
    // A view that was parked stands in the notebook's own output already, and is not removed again.
    if (this.removed) handover.begin();
  }

  remove() {
    this.handover?.begin();
    this.removed = true;
    if (this.handover?.isParked) return;
    this.page.views.delete(this);
    this.frames.stop();
    clearTimeout(this.waiting);
    this.announcer.stop();
  }
}

function division(className) {
  const element = document.createElement("div");
  element.className = className;
  return element;
}

function addStyle() {
  if (document.getElementById(STYLE_ID)) return;
  const style = document.createElement("style");
  style.id = STYLE_ID;
  style.textContent = css;
  document.head.append(style);
}

/** The widget. anywidget calls this once for each model, so that all views of a model share its page. */
export default function widget() {
  let page;
  return {
    initialize({ model }) {
      page ??= new Page(model);
      page.listen(model);
    },
    render({ model, el }) {
      addStyle();
      page ??= new Page(model);
      const view = new RunView(model, page);
      el.append(view.element);
      return () => view.remove();
    },
  };
}

export { Drawing, Markdown, Page };
