"""Choose the photos that copies are made of: one a group, fixed by a hash of their bytes. Pure."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from imageset.formats.stable_hash import rank

PHOTO = ["product_id", "position"]


def choose_originals(parts: Iterable[tuple[pd.DataFrame, pd.DataFrame]], most: int) -> pd.DataFrame:
    """Return product_id and position of the photos that copies are made of, in the order of their ranks.

    No two of them are in one group, so none is a copy of another. A photo's rank depends on its bytes alone. When
    photos are added, the chosen photos stay, but for those that new ones of a lower rank push out.

    Args:
        parts: all photos, some at a time: product_id, position and sha256 of rows of processed.csv, and product_id,
            position, group and reason of the rows of groups.csv about the same photos. Photos that are left out there
            are not chosen.
        most: how many to choose. There may be fewer groups.
    """
    columns = {"product_id": "int64", "position": "int64", "group": "int64", "rank": "uint64"}
    chosen = pd.DataFrame(columns=list(columns)).astype(columns)
    for photos, groups in parts:
        ranks = (rank(int(sha256, 16)) for sha256 in photos["sha256"])
        ranked = photos[PHOTO].assign(rank=np.fromiter(ranks, np.uint64, len(photos)))
        inside = groups.loc[groups["reason"] == "", [*PHOTO, "group"]]
        known = pd.concat([chosen, inside.merge(ranked, on=PHOTO, validate="one_to_one")])
        # The key breaks ties of photos with the same bytes, which are in one group. Who is not among the first of some
        # groups is not among the first of more.
        chosen = known.sort_values(["rank", *PHOTO]).drop_duplicates("group").head(most)
    return chosen[PHOTO].reset_index(drop=True)
