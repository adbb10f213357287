// A bar with the status of all frames and the current position; a slider for keyboards and screen readers.

// Status of a frame, as session.py numbers it.
const NOTHING = 0, TRACKED = 1, GIVEN = 2, CORRECTED = 3, LOST = 4;
const NAMES = { [NOTHING]: "not tracked", [TRACKED]: "tracked", [GIVEN]: "given", [CORRECTED]: "corrected", [LOST]: "an object lost" };
const STYLES = { [NOTHING]: "--none", [TRACKED]: "--tracked", [GIVEN]: "--given", [CORRECTED]: "--corrected", [LOST]: "--lost" };
const RANKS = [NOTHING, TRACKED, LOST, CORRECTED, GIVEN]; // precedence: of frames that share a column, the last in this order is shown
const HEIGHTS = { [NOTHING]: 0.35, [TRACKED]: 0.7, [LOST]: 0.7, [CORRECTED]: 1, [GIVEN]: 1 }; // heights relative to the bar: statuses differ not only in colour
const isGiven = (status) => status === GIVEN || status === CORRECTED;

export class Timeline {
  constructor(canvas, seek) {
    this.canvas = canvas;
    this.seek = seek;
    this.status = new Uint8Array(1);
    this.frame = 0;
    this.waiting = false;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return Math.floor(((event.clientX - box.left) / box.width) * this.status.length);
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); this.seek(at(event)); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) this.seek(at(event)); });
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  set(status) { this.status = status; this.draw(); }

  mark(index, value) { this.status[index] = value; this.draw(); }

  show(index) {
    this.frame = index;
    this.canvas.setAttribute("aria-valuemax", this.status.length - 1);
    this.canvas.setAttribute("aria-valuenow", index);
    this.canvas.setAttribute("aria-valuetext", `frame ${index}, ${NAMES[this.status[index]]}`);
    this.draw();
  }

  // The nearest frame with a given mask before (-1) or after (1) this one, or null.
  given(step) {
    for (let i = this.frame + step; i >= 0 && i < this.status.length; i += step) {
      if (isGiven(this.status[i])) return i;
    }
    return null;
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const { canvas, status } = this, ratio = window.devicePixelRatio || 1;
    const width = (canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio)));
    const height = (canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio)));
    const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const colours = RANKS.map((kind) => style.getPropertyValue(STYLES[kind]).trim());
    const count = status.length;
    for (let x = 0; x < width; x++) {
      const first = Math.floor((x * count) / width), last = Math.max(first + 1, Math.floor(((x + 1) * count) / width));
      let rank = 0;
      for (let i = first; i < last; i++) rank = Math.max(rank, RANKS.indexOf(status[i]));
      context.fillStyle = colours[rank];
      const tall = HEIGHTS[RANKS[rank]];
      context.fillRect(x, height * (1 - tall), 1, height * tall);
    }
    const x = ((this.frame + 0.5) * width) / count;
    const line = (colour, wide) => {
      context.fillStyle = style.getPropertyValue(colour).trim();
      context.fillRect(Math.round(x - (wide * ratio) / 2), 0, Math.max(2, Math.round(wide * ratio)), height);
    };
    line("--panel", 5); // an edge, since some statuses are as bright as the line
    line("--ink", 2);
    context.beginPath();
    context.moveTo(x - 6 * ratio, 0); context.lineTo(x + 6 * ratio, 0); context.lineTo(x, 7 * ratio);
    context.fill();
  }
}
