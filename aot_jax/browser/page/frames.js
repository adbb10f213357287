// Frames that were looked at: fetched when they are asked for; the last few stay.

import { getFrame } from "./api.js";

const KEPT = 48; // most decoded frames in the cache

export class Frames {
  constructor(inUse) {
    this.inUse = inUse; // tells whether a picture is on the screen
    this.promises = new Map(); // index -> promise of an ImageBitmap
  }

  get(index) {
    const { promises } = this;
    if (!promises.has(index)) {
      const promise = getFrame(index);
      promise.catch(() => promises.delete(index));
      promises.set(index, promise);
      for (const [old, picture] of promises) {
        if (promises.size <= KEPT) break;
        promises.delete(old);
        picture.then((bitmap) => { if (!this.inUse(bitmap)) bitmap.close(); }, () => {});
      }
    }
    return promises.get(index);
  }
}
