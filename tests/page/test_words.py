"""That the page has words for what tables name."""

import re
from pathlib import Path

from imageset.curation.corrections import REASONS_OF_STAGES

MODULES = Path("stages/templates/page")


def keys_of(module: str, constant: str) -> set[str]:
    """Return the keys of an object that a module declares."""
    source = (MODULES / module).read_text()
    found = re.search(rf"^export const {constant} = \{{\n(.*?)^\}};", source, re.DOTALL | re.MULTILINE)
    assert found
    return set(re.findall(r"^    (\w+):", found[1], re.MULTILINE))


def test_the_page_explains_each_reason_of_a_stage_and_takes_none_for_an_exclusion() -> None:
    assert keys_of("reasons.js", "REASON_WORDS") == REASONS_OF_STAGES


def test_the_page_explains_each_why_of_a_suspect_photo() -> None:
    audit = Path("docs/audit.md").read_text()
    sections = re.split(r"^## ", audit, flags=re.MULTILINE)
    of_photos = [part for part in sections if part.startswith(("Labels", "Outliers", "Masks", "Photos"))]
    rows = [row for part in of_photos for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)]

    assert keys_of("data.js", "WHY_WORDS") == {word for row in rows for word in re.findall(r"`(\w+)`", row)}
