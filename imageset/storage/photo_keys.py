"""Which photo an object of the bucket is: many are looked up at once, without a Python object for each photo."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute
from numpy.typing import NDArray

OBJECTS_AT_ONCE = 200
SHARE_AT_ONCE = 16  # a look-up goes through all keys, so with many of them more objects are looked up together


class PhotoKeys:
    """The keys of photos; several photos may have one key.

    first: the place of the first photo with the same key, of each photo, int32.
    """

    def __init__(self, keys: pd.Series) -> None:
        """Take the keys of all photos."""
        self.keys = pyarrow.array(keys, pyarrow.large_string())
        self.first = pyarrow.compute.index_in(self.keys, value_set=self.keys).to_numpy()
        self.objects_at_once = max(OBJECTS_AT_ONCE, len(keys) // SHARE_AT_ONCE)

    def find(self, names: Sequence[str]) -> NDArray[np.int32]:
        """Return the place of the first photo with each of these keys, -1 where no photo has it."""
        places = pyarrow.compute.index_in(pyarrow.array(names, pyarrow.large_string()), value_set=self.keys)
        found: NDArray[np.int32] = places.fill_null(-1).to_numpy()
        return found
