"""Objects find the photos that name them, among many photos and with keys that several photos share."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from imageset.storage.photo_keys import PhotoKeys

keys = st.lists(st.sampled_from(["1.jpeg", "1-1.jpeg", "é", "e\u0301", "a,b", "A", ""]), max_size=12)


@given(keys, keys, st.integers(1, 4))
def test_an_object_finds_the_first_photo_with_its_key(photos: list[str], objects: list[str], pieces: int) -> None:
    parts = [pd.Series(list(part), dtype="str") for part in np.array_split(np.array(photos, object), pieces)]
    found = PhotoKeys(pd.concat(parts, ignore_index=True))

    assert found.first.tolist() == [photos.index(key) for key in photos]
    assert found.find(objects).tolist() == [photos.index(key) if key in photos else -1 for key in objects]
