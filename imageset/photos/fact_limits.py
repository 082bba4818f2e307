"""Which photos the limits on facts reject, and the list of formats.

The limits look at one photo by itself, so they reject it whatever else is in the dataset, and the split of the others
stays as it is. They are no part of the keys of the cache of pixels: another limit decodes no photo.
"""

from collections.abc import Collection

from imageset.photos.facts import PhotoFacts
from imageset.runtime.sections import PreprocessParams

# In the order in which they are given: a small or dark photo is often blurred as well.
REASONS = ("too_small", "extreme_aspect", "too_dark", "too_light", "too_blurred")

PARAMS = frozenset({"min_sharpness", "min_brightness", "max_brightness", "min_side", "max_aspect_ratio"})


def judge_facts(facts: PhotoFacts, preprocess: PreprocessParams, formats: Collection[str]) -> str:
    """Return why the limits reject a photo, "" for none: its format, or the first of REASONS.

    Args:
        facts: of the photo.
        preprocess: the limits; one of None rejects nothing.
        formats: ingest.formats.
    """
    if (name := facts.format.lower()) not in formats:
        return f"format_{name}"
    is_beyond = (
        preprocess.min_side is not None and min(facts.width, facts.height) < preprocess.min_side,
        preprocess.max_aspect_ratio is not None and facts.aspect_ratio > preprocess.max_aspect_ratio,
        preprocess.min_brightness is not None and facts.brightness < preprocess.min_brightness,
        preprocess.max_brightness is not None and facts.brightness > preprocess.max_brightness,
        preprocess.min_sharpness is not None and facts.sharpness < preprocess.min_sharpness,
    )
    return next((reason for reason, beyond in zip(REASONS, is_beyond, strict=True) if beyond), "")
