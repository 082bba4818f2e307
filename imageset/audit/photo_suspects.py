"""Which photos look wrong: blurred, dark, bright, flat, small or elongated. Pure."""

import numpy as np
import pandas as pd

from imageset.audit.robust_scores import standardize
from imageset.audit.suspects import most_suspect
from imageset.evaluation.feature_blocks import Labels
from imageset.evaluation.linear_discriminant import Floats

REASONS = ("blurred", "bright", "dark", "elongated", "low_contrast", "small")

# The smallest deviations that count: shares, gray levels, logarithms. Sides and aspect ratios are often the same for
# most photos, so that their deviation is 0. With 0.5, a photo of a fifth of the usual side is one of LISTED.
SHARPNESS, BRIGHTNESS, CONTRAST, SIDE, ASPECT_RATIO = 0.03, 5.0, 0.1, 0.5, 0.5
LEAST_CONTRAST = 1.0  # gray levels: less is no worse, and has a logarithm


def find_photo_suspects(photos: pd.DataFrame) -> pd.DataFrame:
    """Return the photos that look wrong, the most suspect first.

    Of each fact, the robust z-score within the class and that among all photos, and of these the smaller, if both point
    the same way: hats may be darker than the rest, and a class of a few photos says little about itself. A sharp, rich
    or large photo has no fault. The score is the root of the sum of the squares, so that two faults weigh more than
    either.

    Args:
        photos: product_id, position, catalog_id, and the facts width, height (int64), sharpness, brightness, contrast
            and aspect_ratio (float64, or text) of data/photos.csv.

    Returns:
        product_id, position, catalog_id, score (float64), why (the largest z-score's, of REASONS), suggestion (none),
        as `suspects.most_suspect` lists them.
    """
    classes = photos["catalog_id"].to_numpy(np.int64)
    sharpness, brightness, contrast, ratio = (
        photos[name].to_numpy(np.float64) for name in ("sharpness", "brightness", "contrast", "aspect_ratio")
    )
    side = np.minimum(photos["width"].to_numpy(np.float64), photos["height"].to_numpy(np.float64))
    light = find_unusual(brightness, classes, BRIGHTNESS)
    faults = {
        "blurred": -find_unusual(sharpness, classes, SHARPNESS),
        "bright": light,
        "dark": -light,
        "elongated": find_unusual(np.log(ratio), classes, ASPECT_RATIO),
        "low_contrast": -find_unusual(np.log(np.maximum(contrast, LEAST_CONTRAST)), classes, CONTRAST),
        "small": -find_unusual(np.log(side), classes, SIDE),
    }
    scores = np.maximum(np.stack([faults[reason] for reason in REASONS], axis=1), 0)
    why = np.array(REASONS)[scores.argmax(axis=1)]
    return most_suspect(photos, np.sqrt((scores**2).sum(axis=1)), why)


def find_unusual(values: Floats, classes: Labels, smallest: float) -> Floats:
    """Return z-scores, of those within the class and among all the smaller, or 0 where they have different signs."""
    within, among = standardize(values, classes, smallest), standardize(values, np.zeros_like(classes), smallest)
    smaller = np.sign(within) * np.minimum(np.abs(within), np.abs(among))
    return np.where(within * among > 0, smaller, 0.0)
