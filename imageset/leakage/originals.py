"""Choose the photos that copies are made of: one a group, fixed by a hash of their bytes. Pure."""

import pandas as pd

from imageset.formats.stable_hash import rank

PHOTO = ["product_id", "position"]


def choose_originals(photos: pd.DataFrame, groups: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return the rows of the photos that copies are made of, in the order of their ranks.

    No two of them are in one group, so none is a copy of another. A photo's rank depends on its bytes alone. When
    photos are added, the chosen photos stay, but for those that new ones of a lower rank push out.

    Args:
        photos: the rows of processed.csv, N of them.
        groups: the rows of groups.csv. Photos that are left out there are not chosen.
        most: how many to choose. There may be fewer groups.
    """
    inside = groups.loc[groups["reason"] == "", [*PHOTO, "group"]]
    grouped = photos.merge(inside, on=PHOTO, validate="one_to_one")
    ranks = [rank(int(sha256, 16)) for sha256 in grouped["sha256"]]
    # The key breaks ties of photos with the same bytes, which are in one group.
    ranked = grouped.assign(rank=pd.Series(ranks, dtype="uint64")).sort_values(["rank", *PHOTO])
    chosen = ranked.drop_duplicates("group").head(most)
    return chosen[photos.columns].reset_index(drop=True)
