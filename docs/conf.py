"""How the site is built: `make docs` runs Sphinx with this file on the Markdown pages of the repository.

The source folder is the repository's root, so a relative link works on the git host and in the site alike. A link to a
file that is no page, such as params.yaml, becomes a download. A link to a folder fails. The links of docs/index.md and
benchmarks/README.md are the navigation: a page that neither names, or a link to a missing page, fails the build.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent.parent))  # autodoc imports the reader

project = "imageset"
html_title = "imageset"
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/**.md",
    "benchmarks/**.md",
]
exclude_patterns = [".*", "data", "exports", "models"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

nitpicky = True
nitpick_ignore_regex = [("py:class", r"(?!imageset\.).*")]  # types of other libraries: no other site is asked
nitpick_ignore = [
    ("py:class", "imageset.formats.images.Images"),
    ("py:class", "imageset.reader.batches.BatchMaker"),
    ("py:class", "imageset.reader.bucket_file.Place"),
    ("py:class", "imageset.reader.row_order.RowOrder"),
    ("py:class", "imageset.reader.selection.Selection"),
]

myst_heading_anchors = 4
highlight_language = "none"
default_role = "code"  # what docstrings put between single backticks
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_use_index = False
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

HAS_LIST_OF_PAGES = ("docs/index", "benchmarks/README")
LINK_TO_PAGE = re.compile(r"\[([^]!]+)\]\(([\w./-]+\.md)\)")
FRONT = '<!doctype html><title>imageset</title><meta http-equiv="refresh" content="0; url=docs/index.html">\n'


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn the links of a list of pages into a navigation tree, with a caption for each section that has links."""
    if page in HAS_LIST_OF_PAGES:
        folder = (Path(app.srcdir) / page).parent
        sections = re.split(r"^(?=## )", source[0], flags=re.MULTILINE)
        source[0] = "".join(section + tree(section, folder, Path(app.srcdir).resolve()) for section in sections)


def tree(section: str, folder: Path, root: Path) -> str:
    """Return a hidden toctree of the pages that a section links to, by the names that it gives them."""
    pages = [f"{name} </{(folder / path).resolve().relative_to(root)}>" for name, path in LINK_TO_PAGE.findall(section)]
    heading = re.match(r"## (.*)", section)
    caption = [f":caption: {heading[1]}"] if heading else []
    return "\n".join(["\n```{toctree}", ":hidden:", *caption, "", *pages, "```\n\n"]) if pages else ""


def write_front(app: Sphinx, error: Exception | None) -> None:
    """Lead from the site's root to its first page."""
    if error is None:
        (Path(app.outdir) / "index.html").write_text(FRONT)


def setup(app: Sphinx) -> None:
    """Connect the functions above to Sphinx."""
    app.connect("source-read", add_navigation)
    app.connect("build-finished", write_front)
