// A bar with the status of all frames and the current position; a slider for keyboards and screen readers.

const NAMES = ["not tracked", "tracked", "given", "corrected", "an object lost"];
const STYLES = ["--none", "--tracked", "--given", "--corrected", "--lost"];
const RANK = [0, 1, 4, 3, 2]; // priority of each status if several frames share a column

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
      if (this.status[i] === 2 || this.status[i] === 3) return i;
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
    const colours = STYLES.map((name) => style.getPropertyValue(name).trim());
    const count = status.length;
    for (let x = 0; x < width; x++) {
      const first = Math.floor((x * count) / width), last = Math.max(first + 1, Math.floor(((x + 1) * count) / width));
      let best = 0;
      for (let i = first; i < last; i++) if (RANK[status[i]] > RANK[best]) best = status[i];
      context.fillStyle = colours[best];
      const tall = best === 2 || best === 3 ? 1 : 0.7; // distinguished by height as well as colour
      context.fillRect(x, height * (1 - tall), 1, height * tall);
    }
    const x = ((this.frame + 0.5) * width) / count;
    context.fillStyle = style.getPropertyValue("--ink").trim();
    context.fillRect(Math.round(x - ratio), 0, Math.max(2, Math.round(2 * ratio)), height);
    context.beginPath();
    context.moveTo(x - 6 * ratio, 0); context.lineTo(x + 6 * ratio, 0); context.lineTo(x, 7 * ratio);
    context.fill();
  }
}
