"""The params sections that two stages read; a section of one stage stands in that stage or the module it is for."""

import datetime
from typing import Literal

from pydantic import Field, field_validator

from imageset.runtime.params import Section


class SourceParams(Section):
    """Section `source`: which rows of the database the dataset is made of."""

    as_of: str | None
    limit: int | None = Field(ge=1)
    photos_per_listing: int = Field(ge=1, le=32_767)

    @field_validator("as_of")
    @classmethod
    def is_utc_timestamp(cls, value: str | None) -> str | None:
        if value is not None and utc(value) is None:
            raise ValueError('expected null or a quoted UTC timestamp such as "2026-01-31T00:00:00Z"')
        return value


class IngestParams(Section):
    """Section `ingest`: what is fetched into the bucket."""

    enabled: bool
    max_bytes: int = Field(ge=1)
    max_pixels: int = Field(ge=1)
    refused_robots_tags: list[str]
    unreachable: Literal["fail", "reject"]
    max_rejected_share: float = Field(ge=0, le=1)


class ModelParams(Section):
    """Section `model`: the weights of the background-removal network."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    allow_non_commercial: bool


def utc(text: str) -> datetime.datetime | None:
    """Return the moment of an ISO 8601 timestamp that says it is UTC, else None."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.utcoffset() == datetime.timedelta(0) else None
