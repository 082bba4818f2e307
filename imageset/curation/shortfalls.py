"""Which classes have far fewer or far more held-out photos than params ask for, because of a large group; pure.

A group is never divided. With source.group_by, the group of a large seller may have nearly all photos of a class.
"""

from typing import NamedTuple

import pandas as pd

from imageset.formats import source_ids
from imageset.runtime.sections import SplitParams

CLASSES_TO_NAME = 3


class Shortfall(NamedTuple):
    """A class with less than half, or more than twice, of the photos that its share asks for.

    photos: of the class, in all subsets. found: in the subset. group: the largest in the class. group_photos: how many
    photos of the class it has.
    """

    catalog_id: int
    subset: str
    photos: int
    found: int
    group: int
    group_photos: int

    def describe(self) -> str:
        """Return it as a part of a sentence.

        >>> Shortfall(1210, "test", 400, 5, 17, 380).describe()
        'class 1210 has 5 of 400 photos in test, and the group of product 17 has 380 of them'
        """
        return (
            f"class {source_ids.text(self.catalog_id)} has {self.found} of {self.photos} photos in {self.subset}, and "
            f"the group of product {source_ids.text(self.group)} has {self.group_photos} of them"
        )


def find_shortfalls(catalog: pd.DataFrame, subsets: pd.DataFrame, split: SplitParams) -> list[Shortfall]:
    """Return the classes that are far from their share, the largest first.

    Args:
        catalog: the rows of catalog.csv.
        subsets: product_id, position and subset of the same photos.
        split: the shares. A class of which they ask for less than two photos is left out.
    """
    shares = {"test": split.test_share, "validation": split.validation_share}
    found = []
    for catalog_id, photos in catalog.merge(subsets, on=["product_id", "position"]).groupby("catalog_id"):
        counts = photos["subset"].value_counts()
        sizes = photos.groupby("group").size()
        for subset, share in shares.items():
            wanted, its_photos = share * len(photos), int(counts.get(subset, 0))
            is_far = not wanted / 2 <= its_photos <= 2 * wanted
            if wanted >= 2 and is_far and sizes.max() > wanted:
                largest = int(sizes.idxmax())
                found.append(Shortfall(catalog_id, subset, len(photos), its_photos, largest, int(sizes.max())))
    return sorted(found, key=lambda shortfall: (-shortfall.photos, shortfall.catalog_id, shortfall.subset))


def describe_shortfalls(shortfalls: list[Shortfall]) -> str:
    """Return what stage split says of them: the first few, and what to do."""
    named = "; ".join(shortfall.describe() for shortfall in shortfalls[:CLASSES_TO_NAME])
    more = f"; and {len(shortfalls) - CLASSES_TO_NAME} more" if len(shortfalls) > CLASSES_TO_NAME else ""
    count = len({shortfall.catalog_id for shortfall in shortfalls})
    return (
        f"{count} {'class is far from its' if count == 1 else 'classes are far from their'} share, because a group is "
        f"never divided: {named}{more}. Scores of these classes say little: see docs/duplicates-and-split.md#sellers"
    )
