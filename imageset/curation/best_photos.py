"""Photos that show nearly the same pixels -> the best one of each picture; pure."""

import pandas as pd

from imageset.errors import DataError

KEY = ["product_id", "position"]


def find_alike(photos: pd.DataFrame) -> pd.DataFrame:
    """Return the photos with another one of the same picture, of those that are not left out."""
    inside = photos[photos["reason"] == ""]
    return inside[inside["picture"].duplicated(keep=False)]


def leave_out_duplicates(photos: pd.DataFrame, facts: pd.DataFrame, released: pd.DataFrame) -> pd.DataFrame:
    """Return the photos with reason duplicate where another photo of the same picture is better.

    Of the photos of a picture that are not left out, released ones come first, then those with more pixels, then the
    sharper ones, then the lower row.

    Args:
        photos: with columns product_id, position, row, picture and reason.
        facts: width, height and sharpness of the photos that `find_alike` returns, rows of photos.csv.
        released: the rows of releases/split.csv.

    Raises:
        DataError: a photo has no facts.
    """
    alike = find_alike(photos)
    known = alike[[*KEY, "row", "picture"]].merge(facts, on=KEY, how="left").set_axis(alike.index)
    if known["width"].isna().any():
        raise DataError("data/photos.csv has other photos than data/groups.csv: run `dvc repro`")
    is_new = ~pd.MultiIndex.from_frame(known[KEY]).isin(pd.MultiIndex.from_frame(released[KEY]))
    pixels, sharpness = known["width"] * known["height"], known["sharpness"].astype(float)
    ranked = known.assign(new=is_new, smaller=-pixels, softer=-sharpness)
    ranked = ranked.sort_values(["new", "smaller", "softer", "row"], kind="stable")
    worse = ranked.index[ranked["picture"].duplicated()]
    return photos.assign(reason=photos["reason"].mask(photos.index.isin(worse), "duplicate"))
