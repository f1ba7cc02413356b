// When to draw: with the next frame, or after a while where the browser draws none, as in a hidden tab.

const WITHOUT_FRAMES = 250; // milliseconds

export class Frames {
  constructor(draw) {
    this.draw = draw;
    this.waiting = false;
  }

  /** Draws once, however often it is asked for, after `delay` milliseconds. */
  ask(delay = 0) {
    if (this.waiting) return;
    this.waiting = true;
    if (delay > 0) this.delay = setTimeout(() => this.wait(), delay);
    else this.wait();
  }

  stop() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    clearTimeout(this.delay);
    this.waiting = false;
  }

  wait() {
    const run = () => {
      this.stop();
      this.draw();
    };
    this.frame = requestAnimationFrame(run);
    this.timer = setTimeout(run, WITHOUT_FRAMES);
  }
}
