"""The site that `make docs` builds: strict, whole, and without anything from elsewhere."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.forked import run_python

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
LOADED_BY_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?\s*(?:https?:)?//[^"')\s]+""", re.IGNORECASE)
CALLED_BY_SCRIPTS = re.compile(r"""["'`](?:https?:)?//[\w.-]+\.\w[^"'`]*""")
NO_ADDRESS = "http://www.w3.org/"  # the name of a format, which nothing asks for


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a site as the Makefile does, from any source folder."""
    options = re.findall(r"-m sphinx (.*?) -c docs", (ROOT / "Makefile").read_text())[0].split()
    return run_python("sphinx", *options, "-c", DOCS, source, site, cwd=ROOT)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """Collects what a page loads from other hosts: every address of it but those of links that people click."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            names = ("src", "href", "srcset", "data", "poster", "action", "content")
            self.found += [value for name, value in attrs if value and name in names and ELSEWHERE.match(value)]


def loads(page: str) -> list[str]:
    """Return what a page of HTML loads from other hosts, its own styles included."""
    parser = Loads()
    parser.feed(page)
    return parser.found + LOADED_BY_STYLES.findall(page)


def test_every_page_is_built_and_the_root_leads_to_the_first(site: Path) -> None:
    assert [page for page in PAGES if not (site / f"docs/{page}.html").is_file()] == []
    assert (site / re.findall('url=([^"]+)"', (site / "index.html").read_text())[0]).is_file()


def test_the_navigation_has_every_page(site: Path) -> None:
    front = (site / "docs/index.html").read_text()
    navigation = front.partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    linked = re.findall(r'class="reference internal" href="([\w./-]+)\.html"', navigation)

    assert set(PAGES) - {"index"} <= set(linked)


def test_the_api_page_has_the_docstrings_of_the_reader(site: Path) -> None:
    api = (site / "docs/api.html").read_text()

    for name in ("imageset.reader.loader", "imageset.reader.ImageSet", "imageset.reader.ImageSet.num_labels"):
        assert f'id="{name}"' in api
    assert "Loader.load_state_dict" in api
    assert "Number of classes in the label map." in api


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    found = {path.name: loads(path.read_text()) for path in site.rglob("*.html")}

    assert len(found) > len(PAGES)
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_no_style_or_script_loads_anything_from_elsewhere(site: Path) -> None:
    styles = [address for path in site.rglob("*.css") for address in LOADED_BY_STYLES.findall(path.read_text())]
    calls = [call for path in site.rglob("*.js") for call in CALLED_BY_SCRIPTS.findall(path.read_text())]

    assert styles == []
    assert [call for call in calls if not call[1:].startswith(NO_ADDRESS)] == []


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<img srcset="https://images.example/a.png 2x">',
        "<style>p { background: url('https://a.example/b.png') }</style>",
        '<style>@import "https://a.example/b.css";</style>',
    ],
)
def test_what_a_page_would_load_is_found(page: str) -> None:
    assert len(loads(page)) == 1
    assert loads('<a href="https://dvc.org">DVC</a> <img src="_images/a.png">') == []


@pytest.mark.parametrize(
    ("index", "page", "complaint"),
    [
        ("- [A page](page.md)", "[gone](gone.md)", "gone.md"),
        ("- [A page](page.md)", "[no such heading](index.md#nowhere)", "nowhere"),
        ("- [A page](page.md)", "![gone](images/gone.png)", "gone.png"),
        ("- [A page](page.md)\n- [Missing](missing.md)", "Text.", "missing"),
        ("No list.", "Text.", "toctree"),
        ("- [A page](page.md)", "```{eval-rst}\n.. autofunction:: imageset.errors.nothing\n```", "nothing"),
        ("- [A page](page.md)", "```{eval-rst}\n:py:class:`imageset.reader.Nothing`\n```", "imageset.reader.Nothing"),
    ],
    ids=["page", "heading", "image", "missing from the folder", "missing from the navigation", "object", "reference"],
)
def test_the_build_fails_on_a_broken(index: str, page: str, complaint: str, tmp_path: Path) -> None:
    folder = tmp_path / "source/docs"
    folder.mkdir(parents=True)
    (folder / "index.md").write_text(f"# Front\n\n{index}\n")
    (folder / "page.md").write_text(f"# Page\n\n{page}\n")
    done = build(folder.parent, tmp_path / "site")

    assert done.returncode != 0
    assert complaint in done.stderr
