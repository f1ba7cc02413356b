// Calls of functions that a person decides about: approve, deny with a reason, or change the arguments.

const PATIENCE = 4000; // milliseconds until a decision that the kernel has not heard may be made again

export class Approval {
  constructor(model) {
    this.model = model;
    this.element = document.createElement("div");
    this.element.className = "dashnb-approval";
    this.timers = new Set();
  }

  /** Shows the calls that wait, `{id, name, arguments}` each; none if they were decided. */
  show(calls) {
    this.timers.forEach(clearTimeout);
    this.timers.clear();
    this.element.replaceChildren(...calls.map((call) => this.question(call)));
  }

  question(call) {
    const labels = this.model.get("labels") ?? {};
    const box = make("fieldset", "dashnb-question");
    const legend = make("legend", "", call.name);
    const args = make("textarea", "jp-mod-styled");
    args.value = call.arguments;
    args.rows = Math.min(12, call.arguments.split("\n").length);
    args.spellcheck = false;
    args.setAttribute("aria-label", labels.arguments ?? "Arguments");
    args.addEventListener("input", () => args.setCustomValidity(""));
    const reason = make("input", "jp-mod-styled");
    reason.placeholder = labels.reason ?? "Reason";
    reason.setAttribute("aria-label", reason.placeholder);
    const approve = make("button", "jp-mod-styled jp-mod-accept", labels.approve ?? "Approve");
    const deny = make("button", "jp-mod-styled", labels.deny ?? "Deny");
    const hint = make("span", "");
    approve.type = deny.type = "button";
    approve.addEventListener("click", () => {
      if (isJson(args)) this.decide(box, hint, { decide: call.id, approved: true, arguments: changed(args, call) });
    });
    deny.addEventListener("click", () =>
      this.decide(box, hint, { decide: call.id, approved: false, reason: reason.value.trim() }),
    );
    const row = make("div", "dashnb-decision");
    row.append(approve, deny, reason, hint);
    box.append(legend, args, row);
    return box;
  }

  decide(box, hint, decision) {
    box.disabled = true;
    hint.textContent = "";
    this.model.send(decision);
    const timer = setTimeout(() => {
      box.disabled = false;
      hint.textContent = this.model.get("labels")?.undecided ?? "";
    }, PATIENCE);
    this.timers.add(timer);
  }

  /** The kernel has heard a decision. */
  acknowledge() {
    this.timers.forEach(clearTimeout);
    this.timers.clear();
  }
}

function changed(args, call) {
  return args.value === call.arguments ? null : args.value;
}

function isJson(args) {
  try {
    JSON.parse(args.value);
  } catch (error) {
    args.setCustomValidity(error.message);
    args.reportValidity();
    return false;
  }
  return true;
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}
