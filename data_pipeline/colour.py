"""Colour jitter, greyscale and blur, drawn once and applied to one frame or to a whole clip."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from ml_collections import ConfigDict

_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Colour:
    """A change of colours; the defaults change nothing."""

    brightness: float = 1.0  # factor
    contrast: float = 1.0  # factor about the mean grey
    saturation: float = 1.0  # factor about each pixel's grey
    hue: float = 0.0  # rotation, as a share of the colour circle
    sigma: float = 0.0  # pixels, of a Gaussian blur

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Apply the fields in order to an image (h, w, 3) float32, in place; returns it, within 0 .. 255."""
        if self.brightness != 1:
            np.multiply(image, np.float32(self.brightness), out=image)
        clip(image)
        if (self.contrast, self.saturation) != (1, 1):
            # One transform does both: saturation leaves the mean grey, which contrast scales about, unchanged.
            mean = float(np.dot(cv2.mean(image)[:3], _GREY))
            mix = self.contrast * (self.saturation * np.eye(3) + (1 - self.saturation) * _GREY)
            both = np.column_stack([mix, np.full(3, mean * (1 - self.contrast))])
            cv2.transform(image, both.astype(np.float32), dst=image)
            clip(image)
        if self.hue:
            values = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            turn = np.eye(3, 4, dtype=np.float32)
            turn[0, 3] = 360 * (self.hue % 1)  # degrees; OpenCV wraps sums above 360
            cv2.transform(values, turn, dst=values)
            cv2.cvtColor(values, cv2.COLOR_HSV2RGB, dst=image)
        if self.sigma:
            side = 2 * math.ceil(3 * self.sigma) + 1
            cv2.GaussianBlur(image, (side, side), self.sigma, dst=image)
        return image


def draw_colour(random: np.random.Generator, data: ConfigDict, static: bool) -> Colour | None:
    """Draw a change of colours for `data.augmentation`; None: no change.

    Args:
      random: the sample's random generator.
      data: the fields of `config.data`.
      static: for one view of an image, not for a video clip.
    """
    v2 = data.augmentation == "v2"
    if not (v2 or static):
        return None
    ranges = data.v2 if v2 else data.static
    share = 2 * random.random(4) - 1
    jitter = Colour()
    if not v2 or random.random() < ranges.jitter:
        brightness, contrast, saturation = 1 + share[:3] * (ranges.brightness, ranges.contrast, ranges.saturation)
        jitter = Colour(brightness, contrast, saturation, share[3] * ranges.hue)
    if not v2:
        return jitter
    grey, blur = random.random(2) < (ranges.grey, ranges.blur)
    if grey:
        jitter = replace(jitter, saturation=0.0, hue=0.0)
    return replace(jitter, sigma=random.uniform(*ranges.sigma)) if blur else jitter


def clip(image: np.ndarray) -> np.ndarray:
    """Clip float32 colours to 0 .. 255 in place; returns the same array."""
    return np.clip(image, 0, 255, out=image)


def to_bytes(image: np.ndarray, out: np.ndarray) -> None:
    """Round float32 colours within 0 .. 255 to uint8."""
    cv2.convertScaleAbs(image, dst=out)
