"""Choose the photos that copies are made of: one a group, fixed by a hash of their bytes. Pure."""

import numpy as np
import pandas as pd

from imageset.formats.stable_hash import rank

PHOTO = ["product_id", "position"]


def choose_originals(photos: pd.DataFrame, groups: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return product_id and position of the photos that copies are made of, in the order of their ranks.

    No two of them are in one group, so none is a copy of another. A photo's rank depends on its bytes alone. When
    photos are added, the chosen photos stay, but for those that new ones of a lower rank push out.

    Args:
        photos: product_id, position and sha256 of the rows of processed.csv, N of them.
        groups: product_id, position, group and reason of the rows of groups.csv. Photos that are left out there are
            not chosen.
        most: how many to choose. There may be fewer groups.
    """
    inside = groups.loc[groups["reason"] == "", [*PHOTO, "group"]]
    ranks = (rank(int(sha256, 16)) for sha256 in photos["sha256"])
    ranked = photos[PHOTO].assign(rank=np.fromiter(ranks, np.uint64, len(photos)))
    grouped = ranked.merge(inside, on=PHOTO, validate="one_to_one")
    # The key breaks ties of photos with the same bytes, which are in one group.
    chosen = grouped.sort_values(["rank", *PHOTO]).drop_duplicates("group").head(most)
    return chosen[PHOTO].reset_index(drop=True)
