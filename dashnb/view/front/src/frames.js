// When to draw: with the next frame, or after a while where the browser draws none, as in a hidden tab.

const WITHOUT_FRAMES = 250; // milliseconds

export class Frames {
  constructor(draw) {
    this.draw = draw;
  }

  /** Draws with the next frame, once, however often it is asked for. */
  ask() {
    clearTimeout(this.later);
    if (this.timer) return;
    const run = () => {
      this.stop();
      this.draw();
    };
    this.frame = requestAnimationFrame(run);
    this.timer = setTimeout(run, WITHOUT_FRAMES);
  }

  /** Draws after `delay` milliseconds, unless it is asked for earlier. */
  askLater(delay) {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.ask(), delay);
  }

  stop() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    clearTimeout(this.later);
    this.timer = undefined;
  }
}
