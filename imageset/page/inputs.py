"""What the page is made of: the tables of the stages, and what people decided."""

from typing import Any, NamedTuple

import pandas as pd

from imageset.curation.corrections import Decision
from imageset.report.figures import StageTables


class PageInputs(NamedTuple):
    """Tables as imageset/formats/tables.py has them, three JSON files, and the checked rows of corrections/.

    Tables with a row for every photo have few columns: which photos there are, and what is counted. PhotoTables has the
    others.
    """

    stages: StageTables  # with the columns of COUNTED
    classes: pd.DataFrame
    suspects: pd.DataFrame
    predictions: pd.DataFrame  # label and answer of every test photo
    label_decisions: list[Decision]
    exclusions: list[Decision]
    taken_down: frozenset[int]  # products that the page must not name
    checks: dict[str, dict[str, Any]]  # data/validation.json: what each check examined, and whether it passed
    baseline: dict[str, Any]  # reports/baseline.json
    leakage: dict[str, Any]  # reports/leakage.json


class PhotoTables(NamedTuple):
    """What tables say of some photos, all columns that the page has: their rows alone."""

    listings: pd.DataFrame
    listing_rejects: pd.DataFrame
    ingest: pd.DataFrame
    inventory: pd.DataFrame
    split: pd.DataFrame
    groups: pd.DataFrame  # as `group_sizes` returns them
    photos: pd.DataFrame
    masks: pd.DataFrame
    map: pd.DataFrame
    doubts: pd.DataFrame
    predictions: pd.DataFrame  # answer and probability
    labels: pd.DataFrame  # of their products
