// View of the frame with its mask: zoom, pan, and the unfinished shapes of tools.

import { union } from "./mask.js";

const WHOLE = [-Infinity, -Infinity, Infinity, Infinity];
const ZOOM = [0.05, 40]; // smallest and largest scale, in canvas pixels per frame pixel

export class View {
  constructor(canvas, mask, colour) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.mask = mask;
    this.colour = colour; // position in the list -> [r, g, b]
    this.frame = null;
    this.opacity = 0.5;
    this.scale = 1;
    this.left = this.top = 0; // upper left corner of the frame, in canvas pixels
    this.fitted = true;
    this.cursor = null; // [x, y, radius] of the brush, in frame pixels
    this.shape = []; // points of the unfinished polygon or box
    this.overlay = document.createElement("canvas");
    this.overlay.width = mask.width;
    this.overlay.height = mask.height;
    this.tints = this.overlay.getContext("2d", { willReadFrequently: false });
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.stale = null; // rectangle of the mask that the overlay does not show yet
    this.region = null; // rectangle to repaint
    this.waiting = false;
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.fitted) this.fit();
    this.draw();
  }

  fit() {
    const { width, height } = this.mask;
    this.scale = Math.min(this.canvas.width / width, this.canvas.height / height) * 0.98;
    this.left = (this.canvas.width - width * this.scale) / 2;
    this.top = (this.canvas.height - height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const scale = Math.min(ZOOM[1], Math.max(ZOOM[0], this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.draw();
  }

  // Position of a pointer event in canvas pixels; at() gives frame pixels.
  screen(event) {
    const box = this.canvas.getBoundingClientRect(), ratio = this.canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  at(event) {
    const [x, y] = this.screen(event);
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  // Show a rectangle of the mask that has changed, at the next repaint.
  tint(rect) {
    if (!rect) return;
    this.stale = union(this.stale, rect);
    this.draw(rect);
  }

  tintAll() { this.tint([0, 0, this.mask.width, this.mask.height]); }

  // Update the stale rectangle of the overlay; object edges are opaque.
  refresh() {
    const { width, height, data } = this.mask, rect = this.stale;
    this.stale = null;
    if (this.mask.blank) { this.tints.clearRect(0, 0, width, height); return; }
    const x0 = Math.max(0, rect[0] - 1), y0 = Math.max(0, rect[1] - 1), x1 = Math.min(width, rect[2] + 1), y1 = Math.min(height, rect[3] + 1);
    const image = this.tints.createImageData(x1 - x0, y1 - y0), pixels = new Uint32Array(image.data.buffer);
    const table = new Uint32Array(256), edges = new Uint32Array(256);
    for (let i = 1; i < 256; i++) {
      const [r, g, b] = this.colour(i), rgb = (b << 16) | (g << 8) | r;
      table[i] = ((200 << 24) | rgb) >>> 0;
      edges[i] = ((255 << 24) | rgb) >>> 0;
    }
    let to = 0;
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++, to++) {
        const at = y * width + x, value = data[at];
        if (!value) continue;
        const edge = (x > 0 && data[at - 1] !== value) || (x + 1 < width && data[at + 1] !== value)
          || (y > 0 && data[at - width] !== value) || (y + 1 < height && data[at + width] !== value);
        pixels[to] = edge ? edges[value] : table[value];
      }
    }
    this.tints.putImageData(image, x0, y0);
  }

  // Move the circle of the brush, [x, y, radius]; null: there is none.
  point(cursor) {
    for (const circle of [this.cursor, cursor]) {
      if (circle) { const [x, y, radius] = circle; this.draw([x - radius, y - radius, x + radius, y + radius]); }
    }
    this.cursor = cursor;
  }

  // Repaint a rectangle, in frame pixels, once at the next animation frame.
  draw(rect = WHOLE) {
    this.region = union(this.region, rect);
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    if (this.stale) this.refresh();
    const { context, canvas, scale } = this, { width, height } = this.mask;
    const [x0, y0, x1, y1] = this.region, ratio = window.devicePixelRatio || 1, edge = 4 * ratio; // edge: margin for the width of lines
    const [left, top] = [Math.max(0, x0 * scale + this.left - edge), Math.max(0, y0 * scale + this.top - edge)].map(Math.floor);
    const right = Math.min(canvas.width, Math.ceil(x1 * scale + this.left + edge)), bottom = Math.min(canvas.height, Math.ceil(y1 * scale + this.top + edge));
    this.region = null;
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    context.clearRect(left, top, right - left, bottom - top);
    context.setTransform(scale, 0, 0, scale, this.left, this.top);
    context.imageSmoothingEnabled = scale < 3;
    if (this.frame) context.drawImage(this.frame, 0, 0, width, height);
    context.globalAlpha = this.opacity;
    context.drawImage(this.overlay, 0, 0);
    context.globalAlpha = 1;
    const line = 1.5 * ratio / scale;
    const trace = (style, wide) => {
      context.strokeStyle = style;
      context.lineWidth = wide;
      if (this.shape.length) {
        context.beginPath();
        this.shape.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
        context.stroke();
        for (const [x, y] of this.shape) context.strokeRect(x - line, y - line, 2 * line, 2 * line);
      }
      if (this.cursor) {
        context.beginPath();
        context.arc(this.cursor[0], this.cursor[1], Math.max(this.cursor[2], line), 0, 7);
        context.stroke();
      }
    };
    trace("#000", 2.5 * line);
    trace("#fff", line);
    context.restore();
  }
}
