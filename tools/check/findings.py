"""What one topic of the check learns and a later one uses."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from imageset.runtime.sections import Params
from imageset.storage.bucket import Bucket
from tools.check.reading import Sample


@dataclass
class Findings:
    """What is known so far; None where that could not be found out.

    Args:
        write: whether to write an object to the bucket.
        params: params.yaml.
        dialect: SQLAlchemy's name of the database that answers.
        listings: the rows of listings.sql that were read.
        photos: those that name a photo. chosen: those of them that params choose. Both as rows of listings.csv.
        labels: the rows of labels.sql that were read.
        label_table: those of them that stage labels takes, as rows of labels.csv.
        class_table: the rows of classes.csv.
        bucket: a bucket that can be listed. keys: the first keys in it.
        failed: what the lines say that are wrong because a topic could not go on.
        answers: look-ups that run from the beginning, because they take seconds, by topic.
    """

    write: bool = False
    params: Params | None = None
    dialect: str | None = None
    listings: Sample | None = None
    photos: pd.DataFrame | None = None
    chosen: pd.DataFrame | None = None
    labels: Sample | None = None
    label_table: pd.DataFrame | None = None
    class_table: pd.DataFrame | None = None
    bucket: Bucket | None = None
    keys: list[str] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    answers: dict[str, Future[Any]] = field(default_factory=dict)

    def has_keys(self) -> bool:
        """Return whether the listings name objects of the bucket by key."""
        return self.photos is not None and bool((self.photos["key"] != "").any())
