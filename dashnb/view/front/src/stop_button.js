// The button that stops a run. The kernel is asked first; one that is busy hears only an interrupt,
// which the Jupyter server sends for us.

const PATIENCE = 150; // milliseconds

export class StopButton {
  constructor(model) {
    this.model = model;
    this.element = document.createElement("button");
    this.element.type = "button";
    this.element.className = "dashnb-stop";
    this.element.addEventListener("click", () => this.press());
    this.show();
  }

  /** Brings the button up to date with the model. */
  show() {
    const running = this.model.get("running");
    this.element.hidden = !running;
    if (!running) this.waiting = false;
    this.element.disabled = Boolean(this.waiting);
    const { stop = "Stop", stopping = "Stopping…" } = this.model.get("labels") ?? {};
    this.element.textContent = this.waiting ? stopping : stop;
  }

  /** The kernel has heard. */
  acknowledge() {
    clearTimeout(this.timer);
  }

  press() {
    if (this.waiting || !this.model.get("running")) return;
    this.waiting = true;
    this.show();
    this.timer = setTimeout(() => this.interrupt(), PATIENCE);
    this.model.send({ stop: 1 });
  }

  async interrupt() {
    if (!this.model.get("running")) return;
    try {
      await interruptKernel(this.model.get("kernel_id"));
    } catch {
      this.waiting = false;
      this.show();
      this.element.title = this.model.get("labels")?.unstoppable ?? "Use the stop button of the toolbar.";
    }
  }
}

async function interruptKernel(kernelId) {
  const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "null");
  if (!config || !kernelId) throw new Error("no Jupyter server is known");
  const headers = {};
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1];
  if (xsrf) headers["X-XSRFToken"] = decodeURIComponent(xsrf);
  if (config.token) headers.Authorization = `token ${config.token}`;
  const url = new URL(`api/kernels/${encodeURIComponent(kernelId)}/interrupt`, new URL(config.baseUrl ?? "/", location));
  if (url.origin !== location.origin) throw new Error("the Jupyter server is elsewhere");
  const answer = await fetch(url, { method: "POST", headers, credentials: "same-origin" });
  if (!answer.ok) throw new Error(`the Jupyter server answered ${answer.status}`);
}
