"""Masks of two garments, drawn, their photos, and damage."""

import cv2
import numpy as np

from imageset.audit.mask_measures import OUTLINE_SIDE
from imageset.formats.hdf5 import Pixels

SIDE = 96
GROUND, CLOTH = 200, 60


def trousers(rng: np.random.Generator) -> Pixels:
    """A mask, uint8 (SIDE, SIDE), of two legs, a little different each time."""
    left, top, bottom, gap = rng.integers((18, 8, 82, 6), (24, 14, 90, 10))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[top:bottom, left : SIDE - left] = 255
    mask[top + 30 : bottom, SIDE // 2 - gap : SIDE // 2 + gap] = 0
    return np.asarray(cv2.GaussianBlur(mask, (5, 5), 1))


def shirt(rng: np.random.Generator) -> Pixels:
    """A mask, uint8 (SIDE, SIDE), of a body with sleeves."""
    left, top, bottom, sleeve = rng.integers((26, 10, 78, 28), (32, 16, 86, 34))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[top:bottom, left : SIDE - left] = 255
    mask[top:sleeve, 6 : SIDE - 6] = 255
    return np.asarray(cv2.GaussianBlur(mask, (5, 5), 1))


def photo_of(mask: Pixels, rng: np.random.Generator) -> Pixels:
    """A photo, uint8 (SIDE, SIDE, 3), of cloth where the mask is, on other ground, with grain."""
    share = mask[..., np.newaxis] / 255
    grain = rng.normal(0, 4, (SIDE, SIDE, 3))
    return np.clip(CLOTH * share + GROUND * (1 - share) + grain, 0, 255).astype(np.uint8)


def shrink_photo(photo: Pixels) -> Pixels:
    return np.asarray(cv2.resize(photo, (OUTLINE_SIDE, OUTLINE_SIDE), interpolation=cv2.INTER_AREA))


def half(mask: Pixels) -> Pixels:
    return np.where(np.arange(SIDE) < SIDE // 2, mask, 0).astype(np.uint8)
