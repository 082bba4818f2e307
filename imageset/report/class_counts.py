"""Names and ids of classes as cells of reports/class_counts.csv, which spreadsheets show, and `dvc plots` draws."""

import re

from imageset.formats import hand_edited

# `dvc plots show` puts names into a script of its HTML page as they are, and </script> would end that script.
TAG = re.compile(r"<(?=[!/?a-z])", re.IGNORECASE)
JOINER = "\u2060"  # nobody sees it


def cell_of_name(name: str) -> str:
    """Return a name as a cell that is neither a formula nor the start of a tag.

    >>> cell_of_name("=1+1"), cell_of_name("sizes < 38")
    ("'=1+1", 'sizes < 38')
    >>> cell_of_name("</script>").encode("ascii", "backslashreplace").decode()
    '<\\\\u2060/script>'
    """
    return break_tags(hand_edited.cell_of_text(name))


def cell_of_id(number: int) -> str:
    """Return the source's id that has a number as such a cell."""
    return break_tags(hand_edited.cell_of_id(number))


def break_tags(text: str) -> str:
    return TAG.sub(f"<{JOINER}", text)


def text_of_cell(cell: str) -> str:
    """Return the name or the id in a cell.

    >>> text_of_cell(cell_of_name("'=<b>"))
    "'=<b>"
    """
    return hand_edited.id_of_cell(cell).replace(f"<{JOINER}", "<")
