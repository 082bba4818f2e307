"""One listing of the sandbox's marketplace."""

import datetime
from dataclasses import dataclass

FIRST_PRODUCT = 3_000_001
FIRST_DATE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Listing:
    """One listing."""

    product_id: int
    title: str
    photos: tuple[str, ...]  # file names, by position
    catalog_ids: tuple[int, ...]  # its classes over time, the latest last

    @property
    def date(self) -> datetime.datetime:
        return FIRST_DATE + datetime.timedelta(hours=self.product_id - FIRST_PRODUCT)
