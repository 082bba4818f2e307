"""Which photos the page shows where there are more than report.page_photos. Pure.

Hashes of their names choose, so the same photos make the same sample, and a few new ones hardly change it.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.formats import stable_hash
from imageset.page.inputs import PageInputs
from imageset.page.photo_list import KEY

OF_EACH_CLASS = 5  # before shares count: a class of which nothing is shown could not be looked at
MOST_REJECTS = 0.1  # of the sample, unless the dataset has too few photos to fill it


def choose_photos(photos: pd.DataFrame, data: PageInputs, most: int) -> tuple[NDArray[np.bool_], dict[str, Any] | None]:
    """Return which photos the page shows, and what it says of that (None where it shows all).

    Up to `most` photos are all shown. Of more, a sample of `most` is: a tenth of rejects at most, by reason, and for
    the rest photos of the dataset, by class. Where the dataset has fewer photos, more rejects fill the sample. Each
    class, and each reason, has OF_EACH_CLASS photos in it if it has so many, else all; the others follow its share. As
    many photos again may come on top: all suspects, the best-ranked first, then the photos of near-duplicates, the
    least alike first, then those of label_changes.csv.

    Args:
        photos: from `name_photos`.
        data: the tables.
        most: report.page_photos.
    """
    chosen = np.ones(len(photos), bool)
    if len(photos) <= most:
        return chosen, None
    keys = photos[KEY].itertuples(index=False, name=None)
    ranks = np.fromiter((stable_hash.rank(*key) for key in keys), np.uint64, len(photos))
    is_reject = (photos["reason"] != "").to_numpy()
    most_rejects = max(int(MOST_REJECTS * most), most - int((~is_reject).sum()))
    rejects = draw(photos["stage"] + photos["reason"], ranks, is_reject, most_rejects)
    chosen = rejects | draw(photos["catalog_id"].astype(str), ranks, ~is_reject, most - int(rejects.sum()))
    wanted = find_wanted(photos, data)
    more = wanted[~chosen[wanted]]
    chosen[more[:most]] = True
    what = "suspects, near-duplicates and changed labels" + (
        f", the first of {len(more):,}" if len(more) > most else ""
    )
    how = (
        f"a sample by class of {most:,} photos, {int(rejects.sum()):,} of them left out of the dataset, and "
        f"{min(len(more), most):,} more: {what}"
    )
    return chosen, {"shown": int(chosen.sum()), "of": len(photos), "how": how}


def draw(strata: pd.Series, ranks: NDArray[np.uint64], among: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """Return which of the photos are drawn: up to `most` of those in `among`, as even over the strata as they are."""
    rows = pd.DataFrame({"stratum": strata.to_numpy(), "rank": ranks})[among].sort_values("rank")
    of_stratum = rows.groupby("stratum")["rank"]
    number = of_stratum.cumcount()
    rows["turn"] = (number / of_stratum.transform("size")).where(number >= OF_EACH_CLASS, -1 / (1 + number))
    drawn = np.zeros(len(strata), bool)
    drawn[rows.sort_values(["turn", "rank"]).index[:most]] = True
    return drawn


def find_wanted(photos: pd.DataFrame, data: PageInputs) -> NDArray[np.int64]:
    """Return the places of suspects, near-duplicates and changed labels, what to look at first before."""
    pairs = data.stages.near_duplicates
    pairs = pairs.assign(likeness=pairs["likeness"].astype(float)).sort_values(["likeness", *KEY], kind="stable")
    both = np.stack([pairs[KEY].to_numpy(), pairs[["other_product_id", "other_position"]].to_numpy()], axis=1)
    suspects = data.suspects.dropna(subset=KEY).sort_values(["rank", "kind"])
    named = [suspects[KEY], pd.DataFrame(both.reshape(-1, 2), columns=KEY), data.stages.label_changes[KEY]]
    keys = pd.concat([frame.astype("int64") for frame in named]).drop_duplicates()
    places = pd.MultiIndex.from_frame(photos[KEY]).get_indexer(pd.MultiIndex.from_frame(keys))
    return np.asarray(places[places >= 0], np.int64)
