"""Suspects as rows to edit, and edited rows as corrections: all of them or none."""

import csv
import io
import re
import subprocess
from pathlib import Path

import pytest

from imageset.curation import corrections
from imageset.formats import hand_edited, source_ids, tables
from tests.forked import run_python
from tools.suspects.files import COLUMNS

SUSPECTS = [
    ("label", 1, 1001, 0, 11, "0.9900", "another_class", 12),
    ("label", 2, 1002, 0, 11, "0.9000", "another_class", 13),
    ("label", 3, 1003, 1, 12, "0.8000", "another_class", None),
    ("label", 4, 1004, 0, 12, "0.7000", "another_class", 11),
    ("mask", 1, 1002, 0, 11, "0.5000", "covers_little", None),
    ("photo", 1, 1005, 0, None, "0.4000", "blurred", None),
    ("class", 1, None, None, 11, "0.3000", "confused", 12),
]
LABELS = "product_id,position,catalog_id,note,by,date\n"
EXCLUSIONS = "product_id,position,reason,note,by,date\n"


@pytest.fixture
def project(in_project: Path) -> Path:
    """A project with suspects, classes and photos; photo 1004/0 had class 21 before its class was merged."""
    photos = [(1001, 0, 11), (1002, 0, 11), (1003, 1, 12), (1004, 0, 12)]
    content = {
        "suspects": (tables.SUSPECTS, SUSPECTS),
        "classes": (tables.CLASSES, [(11, "hats", None), (12, "=1+1", None), (13, "coats", None), (21, "caps", 12)]),
        "catalog": (tables.CATALOG, [(product_id, at, 0, class_, 0, 0) for product_id, at, class_ in photos]),
        "label_changes": (tables.LABEL_CHANGES, [(1004, 0, "rare_merged", "21", 12)]),
        "labels": (tables.LABELS, [(product_id, class_, "") for product_id, _, class_ in photos]),
        "groups": (tables.GROUPS, [(1005, 0, 0, 0, 0, "")]),
        "listings": (tables.LISTINGS, [(1001, 0, "https://photos.example/1.jpg", ""), (1002, 0, "", "hats/2.png")]),
    }
    (in_project / "data").mkdir()
    for name, (table, rows) in content.items():
        tables.write(in_project / f"data/{name}.csv", table, tables.frame(table, rows))
    return in_project


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("tools.suspects", *arguments, cwd=project)


def succeed(project: Path, *arguments: str) -> str:
    done = run(project, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(project: Path, content: str) -> str:
    """Return the line that refuses a file; nothing was written."""
    before = state(project)
    (project / "edited.csv").write_text(content)
    done = run(project, "--apply", "edited.csv")

    assert (done.returncode, state(project)) == (1, before)
    [line] = done.stderr.splitlines()
    return line.removeprefix("suspects: ")


def state(project: Path) -> list[bytes]:
    return [(project / f"corrections/{name}.csv").read_bytes() for name in ("labels", "exclusions")]


def written(project: Path, name: str) -> list[str]:
    """Return the rows of a file of corrections/, their date as D."""
    text = (project / f"corrections/{name}.csv").read_text()
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}\+00:00", "D", text).splitlines()[1:]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_name_on_a_terminal_neither_acts_nor_begins_a_line(project: Path) -> None:
    named = [(11, "hat\x1b[2J\n::error::no", None), (12, "\t=1+1", None), (13, "##[error]coat", None)]
    tables.write(project / "data/classes.csv", tables.CLASSES, tables.frame(tables.CLASSES, named))
    found = rows(succeed(project, "--kind", "label", "--top", "2"))

    assert [(row["class_name"], row["suggestion_name"]) for row in found] == [
        (r"hat\u001b[2J\u000a::error::no", r"\u0009=1+1"),
        (r"hat\u001b[2J\u000a::error::no", r"\u0023#[error]coat"),
    ]


def test_the_rows_have_what_a_person_needs_and_no_action(project: Path) -> None:
    done = run(project, "--kind", "label", "--top", "2", "--by", "mm")
    found = rows(done.stdout)

    assert list(found[0]) == list(COLUMNS)
    assert found[0] == {
        "kind": "label", "rank": "1", "score": "0.9900", "why": "another_class", "product_id": "1001", "position": "0",
        "class": "11", "class_name": "hats", "suggestion": "12", "suggestion_name": "'=1+1", "action": "",
        "catalog_id": "12", "reason": "", "note": "", "by": "mm", "date": "", "image_url": "https://photos.example/1.jpg",
    }  # fmt: skip
    assert [row["product_id"] for row in found] == ["1001", "1002"]
    assert found[1]["image_url"] == "hats/2.png"  # its key in the bucket, where it has no URL
    assert done.stderr.startswith("suspects: 2 of 4 rows of kind label; 0 passed over")


def test_rows_without_an_action_add_nothing(project: Path) -> None:
    before = state(project)
    succeed(project, "--out", "rows.csv")
    said = succeed(project, "--apply", "rows.csv")

    assert state(project) == before
    assert said == (
        "suspects: added 0 rows to corrections/labels.csv and 0 to corrections/exclusions.csv; "
        "4 rows have no action, 0 were there already\n"
    )


def test_accepted_suggestions_are_added_once_and_their_photos_are_not_listed_again(project: Path) -> None:
    succeed(project, "--out", "rows.csv", "--accept", "--by", "mm")
    said = succeed(project, "--apply", "rows.csv")

    assert written(project, "labels") == ["1001,0,12,,mm,D", "1002,0,13,,mm,D", "1004,0,11,,mm,D"]
    assert "added 3 rows to corrections/labels.csv and 0 to corrections/exclusions.csv; 1 rows have no action" in said
    assert "`dvc repro`" in said

    after = state(project)
    again = succeed(project, "--apply", "rows.csv")

    assert "added 0 rows" in again
    assert "3 were there already" in again
    assert state(project) == after
    assert [row["product_id"] for row in rows(succeed(project))] == ["1003"]
    assert [row["product_id"] for row in rows(succeed(project, "--all"))] == ["1001", "1002", "1003", "1004"]
    assert rows(succeed(project, "--kind", "mask")) == []
    assert "1 passed over" in run(project, "--kind", "mask").stderr


def test_each_action_of_a_person_is_a_row_and_a_photo_that_is_right_keeps_its_class_before_merging(
    project: Path,
) -> None:
    (project / "edited.csv").write_text(
        "\ufeffproduct_id;position;action;catalog_id;reason;note;date\r\n"
        '1001;0;Relabel;13;;"red; not blue";2026-11-28\r\n'
        "1002;0;exclude;13;bad_mask;;\r\n"
        "1003;1;right;11;;;\r\n"
        "1004;0;right;;;;\r\n"
        "1005;;exclude;;off_topic;;\r\n"
        "1005;0;;;;;\r\n"
    )
    succeed(project, "--apply", "edited.csv")

    assert written(project, "labels") == [
        "1001,0,13,red; not blue,,2026-11-28",
        "1003,1,12,,,D",
        "1004,0,21,,,D",
    ]
    assert written(project, "exclusions") == ["1002,0,bad_mask,,,D", "1005,,off_topic,,,D"]
    read = hand_edited.read(project / "corrections/labels.csv", corrections.LABEL_COLUMNS, corrections.REMARKS)
    assert len(read) == 3


def test_rows_are_added_as_the_file_is_written(project: Path) -> None:
    path = project / "corrections/labels.csv"
    path.write_bytes("\ufeffcatalog_id;product_id;position;date;note\r\n13;1002;0;;ü".encode())
    (project / "edited.csv").write_text("product_id,position,action,catalog_id,note\n1001,0,relabel,12,a;b\n")
    succeed(project, "--apply", "edited.csv")

    text = path.read_bytes().decode()
    assert re.sub(r";2\d{3}-[^;]*;", ";D;", text) == (
        '\ufeffcatalog_id;product_id;position;date;note\r\n13;1002;0;;ü\r\n12;1001;0;D;"a;b"\r\n'
    )

    by = "product_id,position,action,catalog_id,by\n1004,0,relabel,13,mm\n"
    assert refusal(project, by) == (
        "corrections/labels.csv has no column by, which edited.csv line 2 fills: add it to the file's header"
    )


HEADER = "product_id,position,action,catalog_id,reason,class\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "1001,0,relable,12,,",
            "action 'relable': expected relabel, exclude, right, or nothing; did you mean 'relabel'?",
        ),
        ("1001,0,relabel,,,", "catalog_id '': expected an id such as 11"),
        ("1001,0,relabel,99,,", "no class 99 in data/classes.csv"),
        ("1001,0,relabel,coats,,", "catalog_id 'coats': write the catalog_id of that class, 13"),
        ("1001,0,exclude,12,,", "reason '': expected one word"),
        ("1001,0,exclude,,mask_empty,", "reason 'mask_empty' is one that a stage gives"),
        (
            "1011,0,relabel,12,,",
            "no product 1011 in data/labels.csv, data/groups.csv or releases/split.csv; did you mean",
        ),
        ("1001,,right,,,", "action right needs the position of one photo"),
        ("1005,0,right,,,", "photo 0 of product 1005 has no class that could be right"),
        ("1001,0,right,,,12", "photo 0 of product 1001 has class 11 by now, not 12: write the rows again"),
        ("1001,0,relabel,12,,\n1001,0,relabel,13,,", None),
        ("1002,0,relabel,11,,", "contradicts corrections/labels.csv line 2: 11 and 13 for photo 0 of product 1002"),
        ("1003,1,relabel,11,,", "photo 1 of product 1003 is excluded by corrections/exclusions.csv line 2; remove one"),
        ("1001,0,relabel,12,,\n1001,,exclude,,off_topic,", "photo 0 of product 1001 is excluded by edited.csv line 3"),
        (
            "1003,,exclude,,bad_mask,",
            "contradicts corrections/exclusions.csv line 2: bad_mask and off_topic for product 1003",
        ),
    ],
)
def test_a_wrong_row_is_one_line_and_nothing_is_added(project: Path, content: str, message: str | None) -> None:
    (project / "corrections/labels.csv").write_text(LABELS + "1002,0,13,,,\n")
    (project / "corrections/exclusions.csv").write_text(EXCLUSIONS + "1003,,off_topic,,,\n")
    said = refusal(project, f"{HEADER}{content}\n1004,0,relabel,13,,\n")

    expected = message or "contradicts line 2: 13 and 12 for photo 0 of product 1001; remove one of the two"
    assert said.startswith(
        f"edited.csv line {2 if message else 3}{'' if 'contradicts' in expected else ':'} {expected}"
    )


def test_columns_that_nobody_knows_and_files_that_are_missing_are_errors(project: Path) -> None:
    assert refusal(project, "product_id,position,acton\n").startswith(
        "edited.csv line 1: no column is named 'acton'; did you mean 'action'?"
    )
    (project / "data/suspects.csv").unlink()
    done = run(project)

    assert (done.returncode, done.stderr) == (
        1,
        "suspects: data/suspects.csv is missing: `dvc pull data/suspects.csv` fetches it, or `dvc repro` makes it\n",
    )
    assert "nothing.csv is missing" in run(project, "--apply", "nothing.csv").stderr


def test_a_file_with_decisions_is_not_written_over(project: Path) -> None:
    succeed(project, "--out", "rows.csv")
    done = run(project, "--out", "rows.csv", "--kind", "mask")

    assert done.returncode == 1
    assert done.stderr.startswith("suspects: rows.csv exists, perhaps with your decisions")


TEXT_IDS = ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", "=1+1", "-5", 'a "b", c; d', "<b>קוד", "''+x", "x" * 255)
TEXT_CLASSES = ("dresses", "Kleider / Röcke", "=1+1", "<b>")


@pytest.fixture
def text_project(in_project: Path) -> Path:
    """A project that calls products and classes by texts; the photo of the first one had its class merged."""
    own, other, formula, _ = TEXT_CLASSES
    content = {
        "suspects": (
            tables.SUSPECTS,
            [("label", rank, name, 0, own, "0.9", "another_class", formula) for rank, name in enumerate(TEXT_IDS, 1)],
        ),
        "classes": (tables.CLASSES, [(name, name, None) for name in TEXT_CLASSES]),
        "catalog": (tables.CATALOG, [(name, 0, 0, own, 0, 0) for name in TEXT_IDS]),
        "label_changes": (tables.LABEL_CHANGES, [(TEXT_IDS[0], 0, "rare_merged", f'"{other}"', own)]),
        "labels": (tables.LABELS, [(name, own, "") for name in TEXT_IDS]),
        "groups": (tables.GROUPS, []),
        "listings": (tables.LISTINGS, []),
    }
    (in_project / "data").mkdir()
    for name, (table, found) in content.items():
        tables.write(in_project / f"data/{name}.csv", table, tables.frame(table, found))
    return in_project


def test_ids_that_are_texts_are_written_applied_and_read_as_the_source_has_them(text_project: Path) -> None:
    succeed(text_project, "--out", "rows.csv", "--accept")
    text = (text_project / "rows.csv").read_text(encoding="utf-8")
    assert [cell for row in csv.reader(io.StringIO(text)) for cell in row if cell[:1] in tuple("=+-@")] == []

    succeed(text_project, "--apply", "rows.csv")
    classes = tables.read(text_project / "data/classes.csv", tables.CLASSES)
    added = hand_edited.read(text_project / "corrections/labels.csv", corrections.LABEL_COLUMNS, corrections.REMARKS)
    decided = corrections.check_labels(added, classes)

    assert [(source_ids.text(row.product_id), row.value_text) for row in decided] == [
        (name, "=1+1") for name in TEXT_IDS
    ]
    assert "7 were there already" in succeed(text_project, "--apply", "rows.csv")
    assert rows(succeed(text_project)) == []


def test_a_photo_that_is_right_keeps_the_class_that_it_had_before_merging_whatever_its_name(text_project: Path) -> None:
    (text_project / "edited.csv").write_text(
        f"product_id,position,action,class\n{TEXT_IDS[0]},0,right,dresses\n'=1+1,0,right,dresses\n=1+1,0,right,\n"
    )
    succeed(text_project, "--apply", "edited.csv")

    assert written(text_project, "labels") == [f"{TEXT_IDS[0]},0,Kleider / Röcke,,,D", "'=1+1,0,dresses,,,D"]
    assert refusal(text_project, f"product_id,position,action,class\n{TEXT_IDS[1]},0,right,<b>\n").startswith(
        "edited.csv line 2: photo 0 of product =1+1 has class dresses by now, not <b>: write the rows again"
    )
