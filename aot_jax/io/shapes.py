"""Draw moving textured objects (ellipses, polygons, stars, blobs) into an image and its mask."""

import numpy as np

_SHAPES = ("ellipse", "polygon", "star", "blob")
_TEXTURES = ("stripes", "checks", "noise", "gradient", "spots")


class Texture:
    """Infinite pattern in two contrasting colours."""

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
        """Return colours (..., 3) float32 at positions y, x (...) in pixels."""
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
    """Interpolate a periodic lattice (n, n) at positions u, v."""
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


class Look:
    """Shape and texture of an object, shared by look-alikes."""

    def __init__(self, random: np.random.Generator, radius: float):
        self.radius = radius  # pixels
        self.kind = _SHAPES[random.integers(len(_SHAPES))]
        self.corners = int(random.integers(3, 7))
        self.depth = random.uniform(0.25, 0.45)
        self.squash = random.uniform(0.55, 0.9)
        self.waves = random.uniform(-0.16, 0.16, 4).tolist(), random.uniform(0, 2 * np.pi, 4).tolist()
        self.texture = Texture(random, radius)

    def outline(self, angle: np.ndarray) -> np.ndarray:
        """Return the distance from centre to outline at each angle (radians), relative to the radius."""
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


class MovingObject:
    """An object with a look, a position and a velocity."""

    def __init__(self, random: np.random.Generator, look: Look, place: np.ndarray):
        self.look, self.place = look, place
        heading, speed = random.uniform(0, 2 * np.pi), look.radius * random.uniform(0.12, 0.24)
        self.velocity = speed * np.array([np.sin(heading), np.cos(heading)])
        self.curve = random.uniform(-0.06, 0.06)  # turn of the path, in radians a frame
        self.angle, self.spin = random.uniform(0, 2 * np.pi), random.uniform(-0.1, 0.1)
        self.breath = random.uniform(0.0, 0.15), random.uniform(0.1, 0.3), random.uniform(0, 2 * np.pi)
        self.time = 0

    def draw(self, image: np.ndarray, mask: np.ndarray, number: int) -> None:
        """Draw this object into image (h, w, 3) float32 and its number into mask (h, w)."""
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
        """Advance one frame, bouncing off the border of the image."""
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


def place(random: np.random.Generator, look: Look, others: list[MovingObject], height: int, width: int) -> MovingObject:
    """Return an object at a random position that does not overlap others, or overlaps least in a few tries."""
    size, room = np.array([height, width]), -np.inf
    best = size / 2
    for _ in range(40):
        place = random.uniform(look.radius, np.maximum(size - look.radius, look.radius + 1))
        gaps = [np.hypot(*(place - o.place)) - 0.8 * (look.radius + o.look.radius) for o in others]
        if min(gaps, default=1.0) > room:
            best, room = place, min(gaps, default=1.0)
        if room > 0:
            break
    return MovingObject(random, look, best)
