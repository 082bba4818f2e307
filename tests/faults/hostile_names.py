"""A shop where sellers wrote what acts elsewhere: names of classes, titles, sellers, ids of classes and products."""

import io
from contextlib import closing

import psycopg2
from PIL import Image
from psycopg2.extras import execute_values

from imageset.formats import blanks, source_ids
from sandbox import draw
from sandbox.garments import GARMENTS
from sandbox.servers import Servers
from tests.project import Project

OF_EACH = 2  # products of a class: one in train, one in test
SIDES = (120, 160)
TITLE_BYTES = 900  # dataset.h5 takes 1,000

# By what each does elsewhere. PostgreSQL has no NUL: test_names.py has the file formats that have one.
NAMES = {
    "mathtext": r"$a_b^{",
    "one dollar": "price in $",
    "whole formula": r"$\frac{x}{0}$ and \$ and $\undefined$",
    "backslashes": "\\\\server\\share\\n\\",
    "escape codes": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J",
    "C1 codes": "a\x9b31mb\x85c\x90q",
    "bell and backspace": "bell\x07 gone\x08\x08\x08\x08",
    "line ends": "one\r\ntwo\nthree\rfour",
    "carriage return at the end": "name\r",
    "tabs": "a\tb\t",
    "separators": "a\u2028b\u2029c\x0bd\x0ce\x1cf",
    "10,000 letters": "x" * 10_000,
    "10,000 letters but one": "x" * 9_999,
    "10,000 words": "sample " * 10_000,
    "right-to-left override": "abc\u202egnp.exe",
    "isolates": "a\u2066b\u2067c\u2068d",
    "right-to-left script": "\u05e9\u05de\u05dc\u05d4 (123) \u0641\u0633\u062a\u0627\u0646",
    "zero width": "\u200bz\u200de\u2060r\ufeffo",
    "only zero width": "\u200b\u200d\u2060",
    "combining marks": "Z" + "\u0335\u0321\u0489\u0310" * 50,
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f3a9",
    "private and without meaning": "\ue000\uffff\U0010ffff\U000e0041",
    "double quote": '"',
    "single quote": "'",
    "back quotes": "`` ` ```",
    "script": "</script><script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "comment": "<!--<script>-->",
    "attribute": "\"'><svg/onload=alert(1)>",
    "entities": "&lt;b&gt; &#x3c;b&#x3e; &amp;",
    "template": "{{7*7}}{% raw %}${7*7}#{7*7}",
    "format": "%s%n%(x)s{0}{__class__}",
    "formula": "=cmd|'/C calc'!A0",
    "formula after a tab": "\t=1+1",
    "full-width formula": "\uff1d1+1",
    "minus": "-1+1",
    "at": "@SUM(1)",
    "blanks around": "  hat  ",
    "capitals": "HAT",
    "small letters": "hat",
    "composed": "Gr\u00f6\u00dfe",
    "decomposed": "Gro\u0308\u00dfe",
    "parent": "..",
    "path upwards": "../../../etc/passwd",
    "absolute path": "/etc/passwd",
    "drive": "C:\\con\\a/b",
    "device": "nul",
    "hidden": ".hidden",
    "option": "--help",
    "empty": "",
    "blanks alone": "   ",
    "table": "a | b || c \\| d",
    "rule of a table": "|---|",
    "link": "[x](javascript:alert(1)) ![i](https://127.0.0.1:9/x.png) <https://127.0.0.1:9>",
    "heading": "# h\n\n- a\n***",
    "command of GitHub": "::error file=a,line=1::no",
    "command of GitHub on a line": "a\n::set-output name=x::y",
    "old command of GitHub": "##[error]no",
    "mentions": "@octocat #1 GH-1 :+1:",
    "YAML": "key: [1, 2\n- &a *a !!python/object:x # c",
    "YAML document": "---\nfoo: bar\n---\n",
    "JSON": '"}],"x":{"\\u0000',
    "NA": "NA",
    "null": "null",
    "nan": "nan",
    "exponent": "1e5",
    "zeros": "007",
    "row of CSV": 'a","b\r\n"c',
    "SQL": "'; DROP TABLE kinds; --",
    "another name with an id": "hat (hat)",
}

SCHEMA = """
CREATE TABLE items (id text, image text, title text, seller text);
CREATE TABLE kinds (id text, title text, parent text);
CREATE TABLE kinds_of_items (item text, kind text, given timestamptz);
"""
QUERIES = {
    "listings": "SELECT id AS product_id, 0 AS position, image AS image_url, title, seller FROM items",
    "labels": "SELECT item AS product_id, kind AS catalog_id, given AS date FROM kinds_of_items",
    "classes": "SELECT id AS catalog_id, title AS name, parent AS parent_id FROM kinds",
}


def make_id(text: str, taken: set[str]) -> str:
    """Return an id as hostile as imageset takes one: without control characters, short, another one each time."""
    clean = blanks.strip(source_ids.FORBIDDEN.sub("", text)).encode()[:200].decode(errors="ignore")
    numbered = (f"{clean} {number}".strip() for number in range(2, 100))
    found = clean if clean and clean not in taken else next(each for each in numbered if each not in taken)
    taken.add(found)
    return found


def fill_database(url: str, names: list[str], photo_url: str) -> dict[str, str]:
    """Make the shop's tables, with a class of each name. Return the names by the ids of their classes."""
    of_classes: set[str] = set()
    of_products: set[str] = set()
    kinds = {make_id(name, of_classes): name for name in names}
    items, labels = [], []
    for place, (kind, name) in enumerate(kinds.items()):
        for number in range(OF_EACH):
            item = make_id(name, of_products)
            title = name.encode()[:TITLE_BYTES].decode(errors="ignore")
            items.append((item, f"{photo_url}/{place}-{number}.jpg", title, f"{title}{number}"))
            labels.append((item, kind, "2026-01-01"))
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        execute_values(cursor, "INSERT INTO items VALUES %s", items)
        execute_values(cursor, "INSERT INTO kinds VALUES %s", [(kind, name, None) for kind, name in kinds.items()])
        execute_values(cursor, "INSERT INTO kinds_of_items VALUES %s", labels)
    return kinds


def draw_photos(sandbox: Servers, folder: str, classes: int) -> str:
    """Draw the photos of all products, each another one, and return the URL of their folder."""
    (sandbox.photo_folder / folder).mkdir()
    garments = list(GARMENTS)
    for place in range(classes):
        for number in range(OF_EACH):
            file = io.BytesIO()
            seed = OF_EACH * place + number
            photo: Image.Image = draw.draw(garments[place % len(garments)], seed).resize(SIDES)
            photo.save(file, "JPEG")
            (sandbox.photo_folder / folder / f"{place}-{number}.jpg").write_bytes(file.getvalue())
    return f"{sandbox.photo_url}/{folder}"


def write_queries(project: Project) -> None:
    """Adapt a project's queries and params to the shop."""
    for name, query in QUERIES.items():
        (project.folder / f"queries/{name}.sql").write_text(query, encoding="utf-8")
    for key, value in {
        "source.columns": "[title]",
        "source.group_by": "seller",
        "catalog.min_photos": "1",
        "report.sample_photos": "200",
    }.items():
        project.set_param(key, value)
