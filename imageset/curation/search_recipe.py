"""What decides what a search for near-duplicates leaves for the next one, except the photos."""

import json

from imageset.curation.search_pool import identify_search
from imageset.formats import preview_file
from imageset.runtime.fingerprint import fingerprint
from imageset.runtime.sections import DuplicatesParams


def describe_recipe(duplicates: DuplicatesParams) -> str:
    """Return the code, libraries, processor and params, as a text to compare: see search_cache.py."""
    return json.dumps([identify_search(), fingerprint([preview_file], ("pillow",)), duplicates.distance])
