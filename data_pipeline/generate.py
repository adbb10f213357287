"""Make procedural videos with exact masks, in numpy alone: training data for the quick start, and its held-out set.

Textured objects (ellipses, polygons, stars, blobs) move, turn, change size and cover each other over a textured
background under a slowly moving camera. An object moves about a fifth of its radius a frame: smooth from frame to
frame, yet after 20 frames the first mask covers little of it. `builders/generated.py` and evaluation call this.
"""

from dataclasses import dataclass

import numpy as np

VERSION = 1  # to be raised when the same arguments give other videos: prepared sets are then made anew
_SHAPES = ("ellipse", "polygon", "star", "blob")
_TEXTURES = ("stripes", "checks", "noise", "gradient", "spots")


@dataclass(frozen=True)
class VideoPlan:
    """The arguments of `make_video` that differ between the videos of one set."""

    seed: tuple[int, int]
    objects: int
    lookalikes: int


def plan_video(seed: int, index: int, objects: tuple[int, int] = (1, 6), lookalikes: float = 0.25) -> VideoPlan:
    """Draw a video's number of objects, uniform in `objects`; a share `lookalikes` of videos gets two alike."""
    random = np.random.default_rng([seed, index, 1])
    count = int(random.integers(objects[0], objects[1] + 1))
    alike = 2 if random.random() < lookalikes else 0
    return VideoPlan((seed, index), max(count, alike) if objects[1] > 1 else count, alike if objects[1] > 1 else 0)


def make_video(
    seed: int | tuple[int, ...], frames: int, height: int, width: int, objects: int, lookalikes: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one video.

    Args:
      seed: an int or a tuple of ints; shapes, textures, colours and paths all follow from it.
      frames: number of frames t.
      height: pixels, 32 or more.
      width: pixels, 32 or more.
      objects: 1 .. 254, with ids 1 .. objects; later ids lie on top.
      lookalikes: this many objects (0, or 2 .. objects) share shape, texture and colours.

    Returns:
      images (t, h, w, 3) uint8 RGB and masks (t, h, w) uint8. Every object is visible in frame 0 where there is room.

    Raises:
      ValueError: an argument out of range.

    Example:
        >>> images, masks = make_video(0, frames=2, height=48, width=64, objects=3)
        >>> images.shape, masks.shape, np.unique(masks[0])
        ((2, 48, 64, 3), (2, 48, 64), array([0, 1, 2, 3], dtype=uint8))
    """
    if not 1 <= objects <= 254 or not 0 <= lookalikes <= objects or min(height, width) < 32 or frames < 1:
        raise ValueError(
            f"cannot draw {objects} objects ({lookalikes} alike) on {frames} frames of {width}x{height}; "
            "there are 1 .. 254 objects, no more of them alike, and 1 frame or more of 32x32 pixels or more"
        )
    random = np.random.default_rng(np.atleast_1d(np.asarray(seed)).tolist())
    background = _Texture(random, 0.35 * min(height, width))
    camera = (random.uniform(-0.012, 0.012, 2) * min(height, width)).astype(np.float32)  # pixels a frame
    zoom = random.uniform(-0.006, 0.006)  # a frame
    things: list[_Thing] = []
    looks = None
    alike = set(random.permutation(objects)[:lookalikes].tolist())
    for index in range(objects):
        radius = min(height, width) * random.uniform(0.12, 0.2) * (1 if objects <= 6 else (6 / objects) ** 0.5)
        look = _Look(random, radius)
        if index in alike:
            looks = looks or look
            look = looks
        things.append(_place(random, look, things, height, width))
    grid = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    images = np.empty((frames, height, width, 3), np.uint8)
    masks = np.zeros((frames, height, width), np.uint8)
    for t in range(frames):
        centred = (grid - np.array([[[height / 2]], [[width / 2]]], np.float32)) * np.float32(1 + zoom * t)
        image = background.at(*(centred + np.float32(t) * camera[:, None, None]))
        for index, thing in enumerate(things):
            thing.draw(image, masks[t], index + 1)
            thing.move(height, width)
        images[t] = np.clip(np.rint(image), 0, 255)
    return images, masks


class _Texture:
    """A pattern over the plane, in two contrasting colours."""

    def __init__(self, random: np.random.Generator, size: float):
        self.kind = _TEXTURES[random.integers(len(_TEXTURES))]
        self.colours = random.uniform(0, 255, (2, 3)).astype(np.float32)
        while np.abs(self.colours[0] - self.colours[1]).sum() < 180:
            self.colours = random.uniform(0, 255, (2, 3)).astype(np.float32)
        angle, period = random.uniform(0, np.pi), size * random.uniform(0.35, 0.8)
        self.turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
        self.turn /= np.float32(period)
        self.lattice = random.random((16, 16)).astype(np.float32)
        self.grain = random.uniform(-14, 14, (64, 64)).astype(np.float32)
        self.phase = random.uniform(0, 8, 2).astype(np.float32)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return colours (..., 3) float32 at places y, x in pixels."""
        u = self.turn[0, 0] * y + self.turn[0, 1] * x + self.phase[0]
        v = self.turn[1, 0] * y + self.turn[1, 1] * x + self.phase[1]
        if self.kind == "stripes":
            mix = 0.5 + 0.5 * np.tanh(4 * np.sin(2 * np.pi * u))
        elif self.kind == "checks":
            mix = 0.5 + 0.5 * np.tanh(6 * np.sin(np.pi * u * 1.4) * np.sin(np.pi * v * 1.4))
        elif self.kind == "gradient":
            mix = 0.5 + 0.5 * np.sin(u)
        elif self.kind == "spots":
            mix = 0.5 + 0.5 * np.tanh(12 * ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 - 0.1))
        else:
            mix = np.clip(1.6 * _noise(self.lattice, 2 * u, 2 * v) - 0.3, 0, 1)
        mix = mix.astype(np.float32)[..., None]
        grain = _noise(self.grain, 9 * u, 9 * v)[..., None]
        return self.colours[0] * (1 - mix) + self.colours[1] * mix + grain


def _noise(lattice: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Interpolate a lattice, repeated over the plane, at places u, v."""
    n = len(lattice)
    u0, v0 = np.floor(u), np.floor(v)
    a, b = u - u0, v - v0
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
    i, j = u0.astype(np.int32) % n, v0.astype(np.int32) % n
    i, k, m = i * n, (i + 1) % n * n, (j + 1) % n
    values = lattice.reshape(-1)
    top, low = values.take(i + j), values.take(k + j)
    top += (values.take(i + m) - top) * b
    low += (values.take(k + m) - low) * b
    return top + (low - top) * a


class _Look:
    """Shape and texture in an object's own coordinates; shared by look-alikes."""

    def __init__(self, random: np.random.Generator, radius: float):
        self.radius = radius  # pixels
        self.kind = _SHAPES[random.integers(len(_SHAPES))]
        self.corners = int(random.integers(3, 7))
        self.depth = random.uniform(0.25, 0.45)
        self.squash = random.uniform(0.55, 0.9)
        self.waves = random.uniform(-0.16, 0.16, 4).tolist(), random.uniform(0, 2 * np.pi, 4).tolist()
        self.texture = _Texture(random, radius)

    def outline(self, angle: np.ndarray) -> np.ndarray:
        """Return the distance of the outline at each angle, as a share of the radius."""
        if self.kind == "ellipse":
            return self.squash / np.sqrt((self.squash * np.cos(angle)) ** 2 + np.sin(angle) ** 2)
        if self.kind == "polygon":
            half = np.pi / self.corners
            return np.cos(half) / np.cos(angle % (2 * half) - half)
        if self.kind == "star":
            points = self.corners + 1
            return 1 - self.depth * np.abs(1 - 2 * ((angle * points / (2 * np.pi)) % 1))
        waves = sum(a * np.cos((k + 2) * angle + p) for k, (a, p) in enumerate(zip(*self.waves, strict=True)))
        return 0.75 + waves


class _Thing:
    """A look with a place, moving."""

    def __init__(self, random: np.random.Generator, look: _Look, place: np.ndarray):
        self.look, self.place = look, place
        heading, speed = random.uniform(0, 2 * np.pi), look.radius * random.uniform(0.12, 0.24)
        self.velocity = speed * np.array([np.sin(heading), np.cos(heading)])
        self.curve = random.uniform(-0.06, 0.06)  # radians a frame, of the path
        self.angle, self.spin = random.uniform(0, 2 * np.pi), random.uniform(-0.1, 0.1)
        self.breath = random.uniform(0.0, 0.15), random.uniform(0.1, 0.3), random.uniform(0, 2 * np.pi)
        self.time = 0

    def draw(self, image: np.ndarray, mask: np.ndarray, number: int) -> None:
        """Paint this object over image (h, w, 3) float32 and its number into mask (h, w)."""
        amount, rate, phase = self.breath
        radius = float(self.look.radius * (1 + amount * np.sin(rate * self.time + phase)))
        low = np.maximum(np.floor(self.place - 1.4 * radius).astype(int), 0)
        high = np.minimum(np.ceil(self.place + 1.4 * radius).astype(int) + 1, mask.shape)
        if (high <= low).any():
            return
        y, x = np.mgrid[low[0] : high[0], low[1] : high[1]].astype(np.float32) + 0.5
        y, x = y - np.float32(self.place[0]), x - np.float32(self.place[1])
        c, s = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        y, x = c * y - s * x, s * y + c * x
        distance = radius * self.look.outline(np.arctan2(y, x)) - np.hypot(y, x)
        cover = np.clip(distance + 0.5, 0, 1).astype(np.float32)[..., None]
        scale = np.float32(self.look.radius / radius)  # the texture grows with the object
        colours = (
            self.look.texture.at(y * scale, x * scale) * (1 - 0.25 * (distance < 1.5).astype(np.float32))[..., None]
        )
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        image[window] = image[window] * (1 - cover) + colours * cover
        mask[window][cover[..., 0] > 0.5] = number

    def move(self, height: int, width: int) -> None:
        """Advance one frame; the centre turns back at the frame's border."""
        c, s = np.cos(self.curve), np.sin(self.curve)
        self.velocity = np.array(
            [c * self.velocity[0] - s * self.velocity[1], s * self.velocity[0] + c * self.velocity[1]]
        )
        self.place = self.place + self.velocity
        margin = 0.5 * self.look.radius
        for axis, size in enumerate((height, width)):
            outside = self.place[axis] < margin or self.place[axis] > size - margin
            if outside and (self.place[axis] > size / 2) == (self.velocity[axis] > 0):
                self.velocity[axis] = -self.velocity[axis]
        self.angle += self.spin
        self.time += 1


def _place(random: np.random.Generator, look: _Look, others: list[_Thing], height: int, width: int) -> _Thing:
    """Put a look where it starts clear of the others, or as clear as a few tries allow."""
    size, room = np.array([height, width]), -np.inf
    best = size / 2
    for _ in range(40):
        place = random.uniform(look.radius, np.maximum(size - look.radius, look.radius + 1))
        gaps = [np.hypot(*(place - o.place)) - 0.8 * (look.radius + o.look.radius) for o in others]
        if min(gaps, default=1.0) > room:
            best, room = place, min(gaps, default=1.0)
        if room > 0:
            break
    return _Thing(random, look, best)
