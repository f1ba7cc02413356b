// What is shown, as the kernel has told it: one page for a widget, however many views draw it.

export class Page {
  constructor(model) {
    this.model = model;
    this.views = new Set();
    this.held = new Map(); // messages that came before their turn
    this.seq = 0;
    this.askedAt = -1;
    this.clear();
    this.take(model.get("snapshot"));
  }

  /** Listens to a model; the handle of a view stops being heard when the view goes. */
  listen(model) {
    model.on("msg:custom", (message) => this.receive(message));
    model.on("change:snapshot", () => this.take(model.get("snapshot")));
  }

  receive(message) {
    if (!Array.isArray(message?.ops) || message.seq <= this.seq) return;
    this.held.set(message.seq, message.ops);
    this.drain();
    if (this.held.size && this.askedAt !== this.seq) {
      this.askedAt = this.seq;
      this.model.send({ want: "snapshot" });
    }
  }

  /** Takes a snapshot if it is newer than the page. */
  take(snapshot) {
    if (!Array.isArray(snapshot?.ops) || snapshot.seq <= this.seq) return;
    this.clear();
    this.seq = snapshot.seq;
    snapshot.ops.forEach((op) => this.apply(op));
    this.views.forEach((view) => view.restart());
    this.drain();
  }

  drain() {
    for (const seq of this.held.keys()) if (seq <= this.seq) this.held.delete(seq);
    for (let ops = this.held.get(this.seq + 1); ops; ops = this.held.get(this.seq + 1)) {
      this.seq += 1;
      this.held.delete(this.seq);
      ops.forEach((op) => this.apply(op));
      this.views.forEach((view) => view.receive(ops));
    }
  }

  clear() {
    this.parts = new Map([["", { children: [] }]]);
    this.ended = false;
    this.asked = []; // calls that a person has to decide about
  }

  apply([name, key, ...rest]) {
    const part = this.parts.get(key);
    if (name === "add") this.add(key, ...rest);
    else if (name === "end") this.ended = true;
    else if (name === "ask") this.asked = key;
    else if (!part) return;
    else if (name === "shell") part.shell = rest[0];
    else if (name === "append") part.text += rest[0];
    else if (name === "text") Object.assign(part, { text: rest[0], colours: [] });
    else if (name === "code") part.colours.push(rest);
    else if (name === "drop") this.drop(key, part);
  }

  add(key, inside, before, shell, mode, text) {
    const siblings = this.parts.get(inside)?.children;
    if (!siblings || this.parts.has(key)) return;
    this.parts.set(key, { inside, shell, mode, text: text ?? "", colours: [], children: [] });
    const at = before === null ? -1 : siblings.indexOf(before);
    siblings.splice(at < 0 ? siblings.length : at, 0, key);
  }

  drop(key, part) {
    [...part.children].forEach((child) => this.drop(child, this.parts.get(child)));
    const siblings = this.parts.get(part.inside).children;
    siblings.splice(siblings.indexOf(key), 1);
    this.parts.delete(key);
  }

  /** What builds the page from nothing. */
  ops() {
    return [...this.opsInside(""), ...(this.ended ? [["end"]] : [])];
  }

  *opsInside(inside) {
    for (const key of this.parts.get(inside).children) {
      const { shell, mode, text, colours } = this.parts.get(key);
      yield ["add", key, inside, null, shell, mode, text];
      for (const colour of colours) yield ["code", key, ...colour];
      yield* this.opsInside(key);
    }
  }
}
