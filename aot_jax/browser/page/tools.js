// Pointer tools: brush, eraser, polygon, box, cut out, fill, move; wheel and pinch zoom.

const CLOSE = 8; // largest distance in CSS pixels from a polygon's first point at which a click closes it

export class Tools {
  constructor(view, editor) {
    this.view = view;
    this.editor = editor; // {mask, ready(), value(), begin(), changed(rect), commit(), cut(box)}; value() is null if there is no object
    this.tool = "brush";
    this.size = 24;
    this.space = false; // space bar is held: move the picture
    this.drag = null;
    this.touches = new Map();
    const canvas = view.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.up(event));
    canvas.addEventListener("pointerleave", () => view.point(null));
    canvas.addEventListener("dblclick", () => this.close());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...view.screen(event));
    }, { passive: false });
  }

  choose(tool) {
    this.cancel();
    this.tool = tool;
    this.view.canvas.dataset.tool = tool;
    this.view.cursor = null;
    this.view.draw();
  }

  cancel() {
    this.view.shape = [];
    if (this.drag?.drawing) this.editor.commit();
    this.drag = null;
    this.view.draw();
  }

  down(event) {
    const canvas = this.view.canvas;
    canvas.setPointerCapture(event.pointerId);
    this.touches.set(event.pointerId, this.view.screen(event));
    const [x, y] = this.view.at(event);
    if (this.touches.size > 1 || this.tool === "hand" || this.space || event.button === 1 || event.button === 2) {
      this.drag = { pan: this.view.screen(event), spread: this.spread() };
      return;
    }
    if (!this.editor.ready()) return;
    const value = this.tool === "eraser" ? 0 : this.editor.value();
    if (value === null) return;
    if (this.tool === "polygon") {
      const first = this.view.shape[0];
      const near = first && Math.hypot(x - first[0], y - first[1]) * this.view.scale < CLOSE * (window.devicePixelRatio || 1);
      if (near && this.view.shape.length > 2) this.close();
      else this.view.shape = [...this.view.shape, [x, y]];
      this.view.draw();
    } else if (this.tool === "fill") {
      this.edit((mask) => mask.fill(x, y, value));
    } else if (this.tool === "box" || this.tool === "cut") {
      this.drag = { from: [x, y], value };
    } else {
      this.editor.begin();
      this.drag = { drawing: true, at: [x, y], value };
      this.editor.changed(this.editor.mask.stroke(x, y, x, y, this.size / 2, value));
    }
  }

  move(event) {
    const { view } = this, [x, y] = view.at(event);
    if (this.touches.has(event.pointerId)) this.touches.set(event.pointerId, view.screen(event));
    view.point(this.tool === "brush" || this.tool === "eraser" ? [x, y, this.size / 2] : null);
    if (this.drag?.pan) {
      const now = view.screen(event), spread = this.spread();
      view.pan(now[0] - this.drag.pan[0], now[1] - this.drag.pan[1]);
      if (spread && this.drag.spread) view.zoom(spread / this.drag.spread, ...now);
      this.drag = { pan: now, spread };
    } else if (this.drag?.drawing) {
      // All points since the last event, so that fast strokes stay smooth.
      for (const part of event.getCoalescedEvents?.() ?? [event]) {
        const [px, py] = view.at(part);
        this.editor.changed(this.editor.mask.stroke(...this.drag.at, px, py, this.size / 2, this.drag.value));
        this.drag.at = [px, py];
      }
    } else if (this.drag?.from) {
      const [ax, ay] = this.drag.from;
      view.shape = [[ax, ay], [x, ay], [x, y], [ax, y], [ax, ay]];
      view.draw();
    }
  }

  up(event) {
    this.touches.delete(event.pointerId);
    const drag = this.drag;
    this.drag = null;
    if (drag?.drawing) this.editor.commit();
    if (drag?.from) {
      const [x, y] = this.view.at(event), [ax, ay] = drag.from;
      this.view.shape = [];
      if (this.tool === "cut") this.editor.cut([Math.min(ax, x), Math.min(ay, y), Math.max(ax, x), Math.max(ay, y)].map(Math.round));
      else this.edit((mask) => mask.box(ax, ay, x, y, drag.value));
      this.view.draw();
    }
  }

  // Close the current polygon and fill it.
  close() {
    const points = this.view.shape;
    if (this.tool !== "polygon" || points.length < 3 || !this.editor.ready()) return;
    const value = this.editor.value();
    if (value === null) return;
    this.view.shape = [];
    this.edit((mask) => mask.polygon(points, value));
  }

  back() {
    if (this.tool !== "polygon") return;
    this.view.shape = this.view.shape.slice(0, -1);
    this.view.draw();
  }

  edit(change) {
    this.editor.begin();
    this.editor.changed(change(this.editor.mask));
    this.editor.commit();
  }

  spread() {
    if (this.touches.size < 2) return 0;
    const [a, b] = [...this.touches.values()];
    return Math.hypot(a[0] - b[0], a[1] - b[1]);
  }
}
