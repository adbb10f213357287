// Editable mask of the current frame: one byte per pixel, the position of its object in the list.

const HISTORY = 100; // most edits of a frame that can be undone
const HISTORY_BYTES = 256 * 1024 * 1024; // largest size of the edits of all frames, in bytes

// The smallest rectangle [x0, y0, x1, y1] around two; the first may be null.
export function union(a, b) {
  return a ? [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])] : b;
}

const same = (a, b) => a.every((value, i) => value === b[i]);

export class Mask {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(width * height);
    this.frame = 0;
    this.blank = true; // the mask is known to be empty
    this.before = null;
    this.dirty = null;
    this.forget();
  }

  // Show the mask of a frame, null for none; its edits can still be undone.
  show(frame, data) {
    this.blank = !data;
    if (data) this.data.set(data);
    else this.data.fill(0);
    this.frame = frame;
    this.before = this.dirty = null;
  }

  // Forget the edits of all frames.
  forget() { this.edits = new Map(); } // frame -> {past, future}, the frame edited last at the end

  // An edit is begin(), any number of shapes, commit(). Shapes return the changed rectangle [x0, y0, x1, y1], or null.
  begin() {
    this.before = this.data.slice();
    this.dirty = null;
    this.blank = false;
  }

  touch(x0, y0, x1, y1) {
    x0 = Math.max(0, Math.floor(x0)); y0 = Math.max(0, Math.floor(y0));
    x1 = Math.min(this.width, Math.ceil(x1)); y1 = Math.min(this.height, Math.ceil(y1));
    if (x0 >= x1 || y0 >= y1) return null;
    const rect = [x0, y0, x1, y1];
    this.dirty = union(this.dirty, rect);
    return rect;
  }

  commit() {
    const { dirty, before } = this;
    this.before = this.dirty = null;
    if (!dirty) return false;
    const old = this.part(before, dirty), now = this.part(this.data, dirty);
    if (same(old, now)) return false;
    const edits = this.edits.get(this.frame) ?? { past: [] };
    this.edits.delete(this.frame);
    this.edits.set(this.frame, { past: [...edits.past, { rect: dirty, old, now }].slice(-HISTORY), future: [] });
    this.bound();
    return true;
  }

  // Forget edits beyond the largest size: those of the frames edited longest ago, and of a frame its oldest.
  bound() {
    const size = (edits) => edits.reduce((sum, { now }) => sum + 2 * now.length, 0);
    let bytes = 0;
    for (const { past, future } of this.edits.values()) bytes += size(past) + size(future);
    for (const [frame, edits] of this.edits) {
      while (bytes > HISTORY_BYTES && edits.past.length) bytes -= size([edits.past.shift()]);
      if (bytes <= HISTORY_BYTES) return;
      bytes -= size(edits.future);
      this.edits.delete(frame);
    }
  }

  undo() { return this.step("past", "future", "old", "now"); }
  redo() { return this.step("future", "past", "now", "old"); }

  step(from, to, wanted, present) {
    const edits = this.edits.get(this.frame), edit = edits?.[from].pop();
    if (!edit) return null;
    if (!same(this.part(this.data, edit.rect), edit[present])) { // the mask was tracked or loaded anew
      this.edits.delete(this.frame);
      return null;
    }
    edits[to].push(edit);
    this.blank = false;
    this.put(edit[wanted], edit.rect);
    return edit.rect;
  }

  part(data, [x0, y0, x1, y1]) {
    const out = new Uint8Array((x1 - x0) * (y1 - y0));
    for (let y = y0; y < y1; y++) out.set(data.subarray(y * this.width + x0, y * this.width + x1), (y - y0) * (x1 - x0));
    return out;
  }

  put(values, [x0, y0, x1, y1]) {
    for (let y = y0; y < y1; y++) this.data.set(values.subarray((y - y0) * (x1 - x0), (y - y0 + 1) * (x1 - x0)), y * this.width + x0);
  }

  // Draw with a round brush from (ax, ay) to (bx, by).
  stroke(ax, ay, bx, by, radius, value) {
    const rect = this.touch(Math.min(ax, bx) - radius, Math.min(ay, by) - radius, Math.max(ax, bx) + radius + 1, Math.max(ay, by) + radius + 1);
    if (!rect) return null;
    const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy, limit = Math.max(radius * radius, 0.5);
    for (let y = rect[1]; y < rect[3]; y++) {
      for (let x = rect[0]; x < rect[2]; x++) {
        const px = x + 0.5 - ax, py = y + 0.5 - ay;
        const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const ex = px - t * dx, ey = py - t * dy;
        if (ex * ex + ey * ey <= limit) this.data[y * this.width + x] = value;
      }
    }
    return rect;
  }

  box(x0, y0, x1, y1, value) {
    const rect = this.touch(Math.round(Math.min(x0, x1)), Math.round(Math.min(y0, y1)), Math.round(Math.max(x0, x1)), Math.round(Math.max(y0, y1)));
    if (rect) for (let y = rect[1]; y < rect[3]; y++) this.data.fill(value, y * this.width + rect[0], y * this.width + rect[2]);
    return rect;
  }

  // Fill a polygon, by the even-odd rule at pixel centres.
  polygon(points, value) {
    const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
    const rect = this.touch(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    if (!rect) return null;
    for (let y = rect[1]; y < rect[3]; y++) {
      const at = y + 0.5, crossings = [];
      points.forEach(([ax, ay], i) => {
        const [bx, by] = points[(i + 1) % points.length];
        if (ay <= at !== by <= at) crossings.push(ax + ((at - ay) / (by - ay)) * (bx - ax));
      });
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const from = Math.max(rect[0], Math.ceil(crossings[i] - 0.5)), to = Math.min(rect[2], Math.ceil(crossings[i + 1] - 0.5));
        if (from < to) this.data.fill(value, y * this.width + from, y * this.width + to);
      }
    }
    return rect;
  }

  // Flood fill from (x, y), 4-connected.
  fill(x, y, value) {
    x = Math.floor(x); y = Math.floor(y);
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    const { width, height, data } = this, old = data[y * width + x];
    if (old === value) return null;
    let [x0, y0, x1, y1] = [x, y, x + 1, y + 1];
    const stack = [y * width + x];
    while (stack.length) {
      const at = stack.pop(), row = Math.floor(at / width) * width;
      if (data[at] !== old) continue;
      let left = at, right = at + 1;
      while (left > row && data[left - 1] === old) left--;
      while (right < row + width && data[right] === old) right++;
      data.fill(value, left, right);
      const line = row / width;
      x0 = Math.min(x0, left - row); x1 = Math.max(x1, right - row); y0 = Math.min(y0, line); y1 = Math.max(y1, line + 1);
      for (const next of [row - width, row + width]) {
        if (next < 0 || next >= width * height) continue;
        for (let i = left; i < right; i++) {
          const here = next + i - row;
          if (data[here] === old && (i === left || data[here - 1] !== old)) stack.push(here);
        }
      }
    }
    return this.touch(x0, y0, x1, y1);
  }

  // Replace an object's pixels by those where `chosen` is 1; without `chosen`, remove the object.
  replace(value, chosen) {
    const { data } = this;
    for (let i = 0; i < data.length; i++) {
      if (chosen && chosen[i]) data[i] = value;
      else if (data[i] === value) data[i] = 0;
    }
    return this.touch(0, 0, this.width, this.height);
  }
}
