"""Near-duplicates -> pictures: which of them show nearly the same pixels. Pure, but for the function that is given."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation.ties import Ties, components, first_of_equal, join
from imageset.formats.hdf5 import Indices

# So many photos of one group are compared with all others of it. What is like none of these is a picture of its own:
# of a garment with a hundred prints, each print is one, and nobody has to compare all with each other to know it.
MOST_LEADERS = 8

ShowSame = Callable[[Indices, Indices], NDArray[np.bool_]]


def number_pictures(photos: pd.DataFrame, same_bytes: Ties, near: Ties, show_same: ShowSame) -> Indices:
    """Return for each photo the number of what it shows, (N,). Photos with the same bytes show the same.

    Near-duplicates are connected in a chain, so its ends may show other things. The first photo of a chain is compared
    with all others of it, then the first of those that show something else, and so on.

    Args:
        photos: the rows of processed.csv, N of them.
        same_bytes: the ties of photos with the same bytes.
        near: the ties of near-duplicates.
        show_same: tells of pairs of places in `photos`, (P,) and (P,), which show nearly the same pixels.
    """
    chains = components(join([same_bytes, near]), len(photos))
    first = first_of_equal(photos["sha256"].to_numpy())
    picture = np.arange(len(photos))
    left = np.unique(first)  # one photo of each content
    for _ in range(MOST_LEADERS):
        leaders = left[first_of_equal(chains[left])]
        left, leaders = left[left != leaders], leaders[left != leaders]
        if not len(left):
            break
        same = show_same(leaders, left)
        picture[left[same]] = leaders[same]
        left = left[~same]
    return np.asarray(picture[first], np.intp)
