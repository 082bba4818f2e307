"""What a dataset card says besides figures: its YAML head, and what params section `card` fills in. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from imageset.runtime.sections import CardParams

# The Hugging Face Hub's identifiers of licences for data. It refuses all others: they go as "other", with a name.
# fmt: off
LICENSES = frozenset(
    (
        "apache-2.0", "mit", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
        "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "etalab-2.0", "gfdl", "odbl",
        "odc-by", "pddl", "unknown", "other",
    )
)
# fmt: on
SPDX = {"odbl-1.0": "odbl", "odc-by-1.0": "odc-by", "pddl-1.0": "pddl"}  # identifiers that differ from the Hub's
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
UNTITLED = "Photos of products by class"


class Topic(NamedTuple):
    """A section of the card that params section `card` fills in."""

    key: str
    heading: str
    missing: str


TOPICS = (
    Topic("license", "Licence", "No licence is given. Without one nobody may assume that they can use the photos."),
    Topic("source", "Source", "Where the photos come from is not given."),
    Topic("personal_data", "Personal data", "Whether photos show people or other personal data is not given."),
    Topic("takedown", "Takedowns", "No address for takedowns is given."),
    Topic("contact", "Contact", "No contact is given."),
    Topic("citation", "Citation", "How to cite the dataset is not given."),
)


def title(card: CardParams) -> str:
    """Return the dataset's name, on one line."""
    return card.name or UNTITLED


def license_entries(license_id: str | None) -> dict[str, str]:
    """Return what the YAML head says of a licence, in the Hub's identifiers.

    >>> license_entries("CC-BY-4.0")
    {'license': 'cc-by-4.0'}
    >>> license_entries("LicenseRef-shop")
    {'license': 'other', 'license_name': 'licenseref-shop'}
    """
    if license_id is None:
        return {}
    name = SPDX.get(license_id.lower(), license_id.lower())
    return {"license": name} if name in LICENSES else {"license": "other", "license_name": name}


def size_category(photos: int) -> str:
    """Return the Hub's size category.

    >>> size_category(713), size_category(10_000_000)
    ('n<1K', '10M<n<100M')
    """
    return next((name for limit, name in SIZES if photos < limit), "10M<n<100M")


def head(card: CardParams, photos: int, data_files: Sequence[dict[str, str]] = ()) -> str:
    """Return the YAML head of a dataset card, with its two lines of dashes.

    What is not filled in is left out: the Hub refuses null.

    Args:
        card: what the project fills in.
        photos: how many photos the dataset has.
        data_files: split and path of files that `datasets` reads; none where it cannot read the dataset.
    """
    values: dict[str, Any] = {
        "pretty_name": title(card),
        **license_entries(card.license),
        "task_categories": ["image-classification"],
        "size_categories": [size_category(photos)],
        "source_datasets": ["original"],
        "tags": ["image", "croissant"],
    }
    if data_files:
        values["configs"] = [{"config_name": "default", "data_files": list(data_files)}]
    written = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=1_000_000)
    return f"---\n{written}---\n"


def filled_in(card: CardParams) -> str:
    """Return the sections that params section `card` fills in, as Markdown. Each one that is empty says so."""
    parts = []
    for key, heading, missing in TOPICS:
        text = getattr(card, key)
        parts.append(f"## {heading}\n\n{text.strip() if text else f'Not filled in. {missing}'}\n")
    return "\n".join(parts)
