"""What tests read out of the documents: sections, shell commands, Python blocks, links, anchors."""

import re
import textwrap
from pathlib import Path

from tests.project import ROOT

PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", *PAGES]


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def section(document: str, title: str) -> str:
    """Return a section of a document: what is between its heading and the next one of the same or a higher level."""
    text = read(document)
    heading = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert heading, f"{document} has no section {title!r}"
    rest = text[heading.end() :]
    end = re.search(rf"^#{{1,{len(heading[1])}}} ", without_blocks(rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def without_blocks(text: str) -> str:
    """Blank out fenced blocks, so that a comment of a shell is no heading and code holds no links."""
    return re.sub(
        r"^( *)```.*?^\1```", lambda block: re.sub(r"[^\n]", " ", block[0]), text, flags=re.DOTALL | re.MULTILINE
    )


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [textwrap.dedent(block) for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def commands(text: str) -> list[str]:
    """Return the shell commands of a text, fenced or indented, one a line, without comments."""
    indented = re.findall(r"^    (\S.*)$", without_blocks(text), re.MULTILINE)
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [re.sub(r"\s{2,}# .*", "", line) for line in [*indented, *lines] if line]


def links(text: str) -> list[str]:
    """Return where inline links and pictures lead to."""
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "", without_blocks(text)))


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as git hosts make them."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def broken_links(document: Path) -> list[str]:
    """Return the links of a document, within the project, that lead nowhere."""
    broken = []
    for link in links(document.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken
