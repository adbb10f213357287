// Cache of decoded frames: fetched on request; the last ones fetched are kept.

import { getFrame } from "./api.js";

const KEPT = 48; // most decoded frames in the cache
const LEAST = 8; // fewest frames in the cache, whatever their size: the one shown and those fetched ahead
const BYTES = 256 * 1024 * 1024; // largest size of the cache in bytes, if it holds more than LEAST frames

export class Frames {
  constructor(inUse) {
    this.inUse = inUse; // tells whether a picture is on the screen
    this.promises = new Map(); // index -> promise of an ImageBitmap
    this.kept = LEAST;
  }

  // Set how many frames to keep, given their size.
  fit({ width, height }) { this.kept = Math.max(LEAST, Math.min(KEPT, Math.floor(BYTES / (4 * width * height)))); }

  get(index) {
    const { promises } = this;
    if (!promises.has(index)) {
      const promise = getFrame(index);
      promise.catch(() => promises.delete(index));
      promises.set(index, promise);
      for (const [old, picture] of promises) {
        if (promises.size <= this.kept) break;
        promises.delete(old);
        picture.then((bitmap) => { if (!this.inUse(bitmap)) bitmap.close(); }, () => {});
      }
    }
    return promises.get(index);
  }
}
