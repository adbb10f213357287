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
    this.bar = document.createElement("canvas"); // the statuses, drawn again only when they change
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return Math.floor(((event.clientX - box.left) / box.width) * this.status.length);
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); this.seek(at(event)); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) this.seek(at(event)); });
    new ResizeObserver(() => this.redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  set(status) { this.status = status; this.redraw(); }

  mark(index, value) { this.status[index] = value; this.redraw(); }

  has(index) { return this.status[index] !== NOTHING; }

  // Mark a frame as given before the server does.
  drawn(index) { if (!this.has(index)) this.mark(index, GIVEN); }

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

  redraw() { this.stale = true; this.draw(); }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const { canvas, bar } = this, ratio = window.devicePixelRatio || 1;
    if (this.stale) this.paintBar(ratio);
    const { width, height } = bar, context = canvas.getContext("2d"), x = ((this.frame + 0.5) * width) / this.status.length;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.clearRect(0, 0, width, height);
    context.drawImage(bar, 0, 0);
    const line = (colour, wide) => {
      context.fillStyle = this.colours[colour];
      context.fillRect(Math.round(x - (wide * ratio) / 2), 0, Math.max(2, Math.round(wide * ratio)), height);
    };
    line("--panel", 5); // an edge, since some statuses are as bright as the line
    line("--ink", 2);
    context.beginPath();
    context.moveTo(x - 6 * ratio, 0); context.lineTo(x + 6 * ratio, 0); context.lineTo(x, 7 * ratio);
    context.fill();
  }

  paintBar(ratio) {
    const { canvas, bar, status } = this, context = bar.getContext("2d"), style = getComputedStyle(document.documentElement);
    this.stale = false;
    this.colours = Object.fromEntries(["--panel", "--ink", ...Object.values(STYLES)].map((name) => [name, style.getPropertyValue(name).trim()]));
    const width = (bar.width = Math.max(1, Math.round(canvas.clientWidth * ratio)));
    const height = (bar.height = Math.max(1, Math.round(canvas.clientHeight * ratio)));
    const count = status.length;
    for (let x = 0; x < width; x++) {
      const first = Math.floor((x * count) / width), last = Math.max(first + 1, Math.floor(((x + 1) * count) / width));
      let rank = 0;
      for (let i = first; i < last; i++) rank = Math.max(rank, RANKS.indexOf(status[i]));
      context.fillStyle = this.colours[STYLES[RANKS[rank]]];
      const tall = HEIGHTS[RANKS[rank]];
      context.fillRect(x, height * (1 - tall), 1, height * tall);
    }
  }
}
