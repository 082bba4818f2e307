"""What people wrote about photos: which rows are refused, which row counts, and what becomes of labels."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageset.curation import classes, corrections
from imageset.curation.spent import WHY, spent_rows
from imageset.errors import DataError
from imageset.formats import hand_edited, source_ids, tables
from imageset.runtime.sections import CatalogParams
from tests.curation.test_classes import FIRST, LARGE, LAST, UNHURRIED, labels, named
from tests.project import ROOT
from tests.samples import examples

BETWEEN, AFTER = "2026-01-15", "2026-02-15T12:00:00Z"
CLASSES = named(11, 12, 13)
LATEST = CatalogParams(label_conflict="latest", keep="all", min_photos=1, rare="drop")
DROP = CatalogParams(label_conflict="drop", keep="all", min_photos=1, rare="drop")

PhotoRow = tuple[int, int, int, str]  # product, position, picture, reason
Written = tuple[Any, ...]  # product, position or None, class or reason, date if there is one
Decided = tuple[int | None, str, str]  # class, reason, change


def hand_written(file: str, column: str, rows: Sequence[Written]) -> list[hand_edited.Row]:
    names = ("product_id", "position", column, "date")
    return [
        hand_edited.Row(
            Path(file),
            line,
            {"date": ""} | {name: "" if cell is None else str(cell) for name, cell in zip(names, row, strict=False)},
        )
        for line, row in enumerate(rows, 2)
    ]


def relabelled(*rows: Written) -> list[corrections.Decision]:
    return corrections.check_labels(hand_written("corrections/labels.csv", "catalog_id", rows), CLASSES)


def excluded(*rows: Written) -> list[corrections.Decision]:
    return corrections.check_exclusions(hand_written("corrections/exclusions.csv", "reason", rows))


def photos(*rows: PhotoRow) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["product_id", "position", "picture", "reason"])


class Result:
    """Photos with what became of them, and the spent rows."""

    def __init__(
        self,
        rows: Sequence[PhotoRow],
        claimed: pd.DataFrame,
        relabel: Sequence[corrections.Decision] = (),
        exclude: Sequence[corrections.Decision] = (),
        params: CatalogParams = LATEST,
        known: set[int] | None = None,
    ) -> None:
        decided = list(relabel), list(exclude)
        attached = corrections.attach(photos(*rows), *decided)
        self.assigned = classes.assign_classes(attached, claimed, CLASSES, params)
        of_labels = claimed, CLASSES, params.label_conflict == "latest"
        self.changes = classes.label_changes(self.assigned)
        found = spent_rows(attached, self.assigned, decided, known or {row[0] for row in rows}, of_labels)
        self.spent = {
            (row.file.removeprefix("corrections/").removesuffix(".csv"), row.line): row.why
            for row in found.itertuples()
        }

    @property
    def photos(self) -> list[Decided]:
        columns = (self.assigned[name] for name in ("merged", "reason", "change"))
        return [
            (None if reason else int(merged), reason, change) for merged, reason, change in zip(*columns, strict=True)
        ]


def test_a_corrected_photo_takes_its_class_whatever_the_rules_about_labels_say() -> None:
    rows = [(1, 0, 1, ""), (2, 0, 2, ""), (3, 0, 3, ""), (4, 0, 4, ""), (5, 0, 5, ""), (6, 0, 5, "")]
    claimed = labels((1, 11, LAST), (2, 11, FIRST), (2, 12, LAST), (4, 99, LAST), (5, 11, FIRST), (6, 12, LAST))
    relabel = relabelled(*((product_id, None, 13) for product_id in (1, 2, 3, 4, 5)))

    for params in (LATEST, DROP):
        found = Result(rows, claimed, relabel, params=params)

        assert found.photos == [(13, "", "corrected")] * 6
        assert found.spent == {}


def test_ids_beyond_the_integers_of_a_float_stay_as_they_are() -> None:
    known = named(LARGE, LARGE - 1)
    decided = corrections.check_labels(hand_written("corrections/labels.csv", "catalog_id", [(LARGE, 0, LARGE)]), known)
    rows = photos((LARGE, 0, 1, ""), (LARGE - 1, 0, 2, ""), (3, 0, 1, ""))
    attached = corrections.attach(rows, decided, [])
    claimed = labels((LARGE, LARGE - 1, FIRST), (LARGE - 1, LARGE - 1, FIRST), (3, LARGE - 1, LAST))
    found = classes.assign_classes(attached, claimed, known, LATEST)

    assert found["merged"].tolist() == [LARGE, LARGE - 1, LARGE]


def test_other_photos_of_the_picture_follow_but_not_those_without_a_class_or_with_a_row_of_their_own() -> None:
    rows = [(1, 0, 7, ""), (1, 1, 8, ""), (2, 0, 7, ""), (3, 0, 7, ""), (4, 0, 7, ""), (5, 0, 7, "")]
    claimed = labels((1, 11, FIRST), (2, 12, LAST), (4, 99, FIRST), (5, 11, FIRST))
    relabel = relabelled((1, 0, 13), (5, None, 12))

    assert Result(rows, claimed, relabel).photos == [
        (13, "", "corrected"),
        (11, "", ""),
        (12, "", "same_photo"),  # of two corrections of one picture, the lowest class
        (None, "no_label", ""),
        (None, "unknown_class", ""),
        (12, "", "same_photo"),
    ]


def test_a_photo_that_conflicting_labels_leave_out_comes_in_with_a_corrected_one_of_its_picture() -> None:
    rows = [(1, 0, 7, ""), (2, 0, 7, ""), (3, 0, 9, "")]
    claimed = labels((1, 11, FIRST), (2, 12, FIRST), (3, 11, FIRST), (3, 12, LAST))
    relabel = relabelled((1, 0, 11))

    found = Result(rows, claimed, relabel, params=DROP)

    assert found.photos == [(11, "", "corrected"), (11, "", "corrected"), (None, "label_conflict", "several_labels")]
    assert found.spent == {}
    assert found.changes[["product_id", "change", "told", "catalog_id"]].fillna(0).values.tolist() == [
        [1, "corrected", "11 12", 11],
        [2, "corrected", "11 12", 11],
        [3, "several_labels", "11 12", 0],
    ]


def test_an_excluded_photo_neither_votes_nor_counts() -> None:
    rows = [(1, 0, 7, ""), (2, 0, 7, ""), (3, 0, 8, ""), (4, 0, 9, "")]
    claimed = labels((1, 11, FIRST), (2, 12, LAST), (3, 12, FIRST), (4, 11, FIRST))
    params = CatalogParams(label_conflict="latest", keep="all", min_photos=2, rare="drop")

    assert [row[:2] for row in Result(rows, claimed, params=params).photos] == [
        (12, ""),
        (12, ""),
        (12, ""),
        (None, "rare_class"),
    ]
    assert Result(rows, claimed, exclude=excluded((2, 0, "off_topic")), params=params).photos == [
        (11, "", ""),
        (None, "off_topic", ""),
        (None, "rare_class", ""),
        (11, "", ""),
    ]


def test_a_class_is_rare_after_corrections() -> None:
    rows = [(number, 0, number, "") for number in range(1, 5)]
    claimed = labels(*((number, 11 if number < 3 else 12, FIRST) for number in range(1, 5)))
    params = CatalogParams(label_conflict="latest", keep="all", min_photos=2, rare="drop")

    assert Result(rows, claimed, relabelled((1, 0, 12)), params=params).photos == [
        (12, "", "corrected"),
        (None, "rare_class", ""),
        (12, "", ""),
        (12, "", ""),
    ]


def test_what_other_stages_left_out_stays_out_and_an_exclusion_is_the_reason_of_all() -> None:
    rows = [(1, 0, 1, "shared_picture"), (2, 0, 2, "bridges_release"), (3, 0, 3, "shared_picture"), (4, 0, 4, "")]
    claimed = labels(*((number, 11, FIRST) for number in (1, 2, 3, 4)))
    found = Result(
        rows,
        claimed,
        relabelled((1, 0, 12), (2, None, 12), (4, 0, 12)),
        excluded((3, 0, "off_topic"), (4, None, "bad_mask")),
    )

    assert [row[1] for row in found.photos] == ["shared_picture", "bridges_release", "off_topic", "bad_mask"]
    assert found.spent == {("labels", 2): "left_out", ("labels", 3): "left_out", ("labels", 4): "excluded"}


def test_a_row_with_a_position_wins_over_one_without() -> None:
    rows = [(1, 0, 1, ""), (1, 1, 2, ""), (2, 0, 3, ""), (2, 1, 4, "")]
    claimed = labels((1, 11, FIRST), (2, 11, FIRST))
    found = Result(
        rows,
        claimed,
        relabelled((1, None, 12), (1, 1, 13)),
        excluded((2, 1, "bad_mask"), (2, None, "off_topic")),
    )

    assert [row[:2] for row in found.photos] == [(12, ""), (13, ""), (None, "off_topic"), (None, "bad_mask")]
    assert found.spent == {}


def test_rows_that_change_nothing_any_more_are_spent() -> None:
    rows = [(1, 0, 1, ""), (1, 1, 2, ""), (2, 0, 3, ""), (3, 0, 4, ""), (4, 0, 5, "")]
    claimed = labels((1, 11, FIRST), (2, 11, FIRST), (3, 11, FIRST), (3, 12, LAST), (4, 11, FIRST))
    found = Result(
        rows,
        claimed,
        relabelled(
            (1, None, 12), (1, 0, 13), (1, 1, 13), (2, 0, 12), (2, 0, 12), (2, 5, 12), (3, 0, 12), (9, None, 12)
        ),
        excluded(
            (4, 0, "off_topic"), (4, 0, "off_topic"), (4, None, "bad_mask"), (8, 3, "bad_mask"), (5, None, "bad_mask")
        ),
        known={1, 2, 3, 4, 5},
    )

    assert found.spent == {
        ("labels", 2): "overruled",
        ("labels", 6): "repeated",
        ("labels", 7): "no_photo",
        ("labels", 8): "same_as_label",
        ("labels", 9): "not_in_dataset",
        ("exclusions", 3): "repeated",
        ("exclusions", 4): "overruled",
        ("exclusions", 5): "not_in_dataset",
        ("exclusions", 6): "no_photo",
    }
    assert set(found.spent.values()) | {"excluded", "left_out"} == WHY.keys()


@pytest.mark.parametrize(
    ("date", "claimed", "is_spent"),
    [
        (AFTER, [(1, 11, FIRST), (1, 12, LAST)], False),  # a person found the label right
        (AFTER, [(1, 11, FIRST), (1, 12, LAST), (1, 12, "2026-03-01T00:00:00+00:00")], False),
        (BETWEEN, [(1, 11, FIRST), (1, 12, LAST)], True),  # a person corrected it, then the marketplace did
        (BETWEEN, [(1, 12, FIRST), (1, 12, LAST)], False),
        (BETWEEN, [(1, 12, LAST)], True),
        ("2026-02-01T01:00:00+01:00", [(1, 11, FIRST), (1, 12, LAST)], False),
        ("2026-02-01", [(1, 12, LAST)], False),
        ("", [(1, 12, "")], True),
        ("1.2.2026", [(1, 12, "")], True),
        (AFTER, [(1, 12, "")], False),
        (AFTER, [(1, 11, "9"), (1, 12, "10")], False),  # numbers are no moments: nobody knows what labels said then
        (BETWEEN, [(1, 11, "9"), (1, 12, "20260301")], False),
    ],
)
def test_a_row_that_said_what_labels_said_when_it_was_written_is_not_spent(
    date: str, claimed: list[Any], is_spent: bool
) -> None:
    found = Result([(1, 0, 1, "")], labels(*claimed), relabelled((1, 0, 12, date)))

    assert found.photos[0][0] == 12
    assert found.spent == ({("labels", 2): "same_as_label"} if is_spent else {})


@pytest.mark.parametrize(
    ("rows", "relabel"),
    [
        ([(1, 0, 7, ""), (2, 0, 7, "")], [(1, 0, 12), (2, 0, 11)]),  # its photo would follow the other of the picture
        ([(1, 0, 7, ""), (1, 1, 8, "")], [(1, 0, 12), (1, None, 11)]),  # its photo would take the product's class
    ],
)
def test_a_row_that_holds_the_class_against_another_row_is_not_spent(
    rows: list[PhotoRow], relabel: list[Written]
) -> None:
    claimed = labels((1, 12, ""), (2, 12, ""))
    found, without = (Result(rows, claimed, relabelled(*decided)) for decided in (relabel, relabel[1:]))

    assert [class_ for class_, _, _ in found.photos] == [12, 11]
    assert [class_ for class_, _, _ in without.photos] == [11, 11]
    assert found.spent == {}


def test_of_a_picture_the_labels_of_all_its_products_say_whether_a_person_found_it_right() -> None:
    rows = [(1, 0, 7, ""), (2, 0, 7, "")]
    claimed = labels((1, 11, FIRST), (2, 12, LAST))

    assert Result(rows, claimed, relabelled((1, 0, 12, AFTER))).spent == {}
    assert Result(rows, claimed, relabelled((1, 0, 12, BETWEEN))).spent == {("labels", 2): "same_as_label"}


def test_a_later_row_does_not_move_a_photo_that_a_person_found_right() -> None:
    claimed = [(1, 12, FIRST)]
    relabel = relabelled((1, 0, 12, BETWEEN))

    assert Result([(1, 0, 1, "")], labels(*claimed), relabel).photos == [(12, "", "")]
    assert Result([(1, 0, 1, "")], labels(*claimed, (1, 11, LAST)), relabel).photos == [(12, "", "corrected")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("", 0, 12), "product_id '': expected an id such as 1001"),
        (("x" * 256, 0, 12), f"product_id '{'x' * 256}': expected an id such as 1001"),
        (("1E+15", 0, 12), "product_id '1E+15': expected an id such as 1001; a spreadsheet may have rounded it"),
        ((1, "first", 12), "position 'first': expected a whole number such as 0"),
        ((1, -1, 12), "position -1: expected 0 to 32767, or nothing for all photos"),
        ((1, 40000, 12), "position 40000: expected 0 to 32767"),
        ((1, 0, None), "catalog_id '': expected an id such as 11"),
        ((1, 0, 112), "no class 112 in data/classes.csv; did you mean 12, 'class 12'?"),
        ((1, 0, 777), "no class 777 in data/classes.csv"),
        ((1, 0, "class 12"), "catalog_id 'class 12': write the catalog_id of that class, 12"),
        ((1, 0, "Class 13"), "catalog_id 'Class 13': write the catalog_id of that class, 13"),
        (
            (1, 0, "klass 12"),
            "no class 'klass 12' in data/classes.csv; did you mean 12, 'class 12'?",
        ),
        ((1, 0, "zzz"), "no class 'zzz' in data/classes.csv"),
    ],
)
def test_a_wrong_correction_is_one_line_with_its_place_and_the_nearest_name(row: Written, message: str) -> None:
    with pytest.raises(DataError) as caught:
        relabelled((1, 5, 12), row)

    assert str(caught.value).startswith(f"corrections/labels.csv line 3: {message}")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("", "reason '': expected one word of lower-case letters, digits and _, such as off_topic"),
        ("off-topic", "reason 'off-topic': expected one word"),
        ("Off_topic", "reason 'Off_topic': expected one word"),
        ("rare_class", "reason 'rare_class' is one that a stage gives: use another word, such as off_topic"),
        ("mask_empty", "reason 'mask_empty' is one that a stage gives"),
    ],
)
def test_a_wrong_reason_is_one_line_with_its_place(reason: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        excluded((1, 0, reason))

    assert str(caught.value).startswith(f"corrections/exclusions.csv line 2: {message}")


def test_a_contradiction_names_both_lines_and_the_number_of_other_faults() -> None:
    assert len(relabelled((1, None, 12), (1, 0, 13), (1, None, 12), (2, 0, 13))) == 4
    with pytest.raises(DataError) as caught:
        relabelled((1, 0, 12), (2, None, 12), (1, 0, 13), (2, None, 11), (3, 0, 99))

    assert str(caught.value) == (
        "corrections/labels.csv line 4 contradicts line 2: 13 and 12 for photo 0 of product 1; remove one of the two "
        "(and 2 more)"
    )


NAMED = tables.frame(
    tables.CLASSES,
    [
        ("dresses", "dresses", None),
        ("Kleider / Röcke", "Kleider / Röcke", None),
        ("=1+1", "=1+1", None),
        ("K-7", "coats", None),
    ],
)
UUIDS = ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", "00c0ffee-4f89-41d3-9a0c-0305e82c3302", "007")


def relabelled_by_text(*rows: Written) -> list[corrections.Decision]:
    return corrections.check_labels(hand_written("corrections/labels.csv", "catalog_id", rows), NAMED)


def test_products_and_classes_are_what_the_source_calls_them() -> None:
    decided = relabelled_by_text((UUIDS[0], 0, "dresses"), (UUIDS[1], None, "'=1+1"), ("007", 1, "Kleider / Röcke"))

    assert [source_ids.text(row.product_id) for row in decided] == list(UUIDS)
    assert [row.value_text for row in decided] == ["dresses", "=1+1", "Kleider / Röcke"]
    corrections.require_known(decided, set(map(source_ids.number, UUIDS)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", 0, "Dresses")], "line 2: catalog_id 'Dresses': write the catalog_id of that class, dresses"),
        ([("a", 0, "coats")], "line 2: catalog_id 'coats': write the catalog_id of that class, K-7"),
        (
            [("a", 0, "Kleider/Röcke")],
            "line 2: no class 'Kleider/Röcke' in data/classes.csv; did you mean 'Kleider / Röcke'?",
        ),
        ([("a", 0, "K-8")], "line 2: no class 'K-8' in data/classes.csv; did you mean 'K-7', 'coats'?"),
        ([("a", 0, "coast")], "line 2: no class 'coast' in data/classes.csv; did you mean 'K-7', 'coats'?"),
        ([("a", 0, "1.2E+9")], "line 2: catalog_id '1.2E+9': expected an id such as dresses; a spreadsheet may"),
        (
            [("b a", 0, "dresses"), ("b a", 0, "=1+1")],
            "line 3 contradicts line 2: =1+1 and dresses for photo 0 of product b a; remove one of the two",
        ),
    ],
)
def test_a_message_names_the_text_that_the_person_wrote(rows: list[Written], message: str) -> None:
    with pytest.raises(DataError) as caught:
        relabelled_by_text(*rows)

    assert str(caught.value).startswith(f"corrections/labels.csv {message}")


@pytest.mark.parametrize(
    ("written", "meant"),
    [(UUIDS[0].upper(), UUIDS[0]), (UUIDS[1].replace("c0ffee", "c0fee"), UUIDS[1]), ("7", "007"), ("zzz", None)],
)
def test_the_nearest_product_is_named_whatever_its_capitals_and_zeros(written: str, meant: str | None) -> None:
    with pytest.raises(DataError) as caught:
        corrections.require_known(relabelled_by_text((written, 0, "dresses")), set(map(source_ids.number, UUIDS)))

    said = str(caught.value).removeprefix(f"corrections/labels.csv line 2: no product {corrections.quote(written)} in ")
    assert said == corrections.KNOWN_FROM + (f"; did you mean {corrections.quote(meant)}?" if meant else "")


def test_two_branches_that_add_rows_merge_without_a_conflict(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def add(text: str) -> None:
        with path.open("a") as file:
            file.write(text)
        git("commit", "--all", "--quiet", "--message", text)

    path = Path(shutil.copytree(ROOT / "corrections", tmp_path / "corrections")) / "labels.csv"
    header = "product_id,position,catalog_id,note,by,date\n"
    path.write_text(header)
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--message", "all")
    git("switch", "--quiet", "--create", "other")
    add("1,0,12,,,\n2,0,12,,,\n")
    git("switch", "--quiet", "main")
    add("3,0,12,,,\n2,0,12,,,\n")
    git("merge", "--quiet", "--no-edit", "other")

    rows = path.read_text().removeprefix(header).splitlines()
    assert sorted(set(rows)) == ["1,0,12,,,", "2,0,12,,,", "3,0,12,,,"]


def test_an_unknown_product_is_an_error_with_the_nearest_one() -> None:
    decided = relabelled((1002, 0, 12), (1020, None, 12))
    corrections.require_known(decided, {1002, 1020, 7})
    with pytest.raises(DataError) as caught:
        corrections.require_known(decided, {1002, 1021, 5, 4444444})

    assert str(caught.value) == (
        "corrections/labels.csv line 3: no product 1020 in data/labels.csv, data/groups.csv or releases/split.csv; "
        "did you mean 1021?"
    )


def resolve_slowly(
    rows: Sequence[PhotoRow],
    claimed: pd.DataFrame,
    relabel: Sequence[corrections.Decision],
    exclude: Sequence[corrections.Decision],
    keeps_latest: bool,
) -> list[Decided]:
    """Apply the rule one photo at a time, on what the rules about labels say of the photos that are not excluded."""

    def decision(of: Sequence[corrections.Decision], product_id: int, position: int) -> Any:
        for wanted in (position, None):
            for row in of:
                if (row.product_id, row.position) == (product_id, wanted):
                    return row.value
        return None

    reasons = [decision(exclude, *row[:2]) or row[3] for row in rows]
    inside = photos(*((*row[:3], reason) for row, reason in zip(rows, reasons, strict=True)))
    by_rule = classes.resolve_labels(inside, claimed, CLASSES, keeps_latest)
    own = [
        decision(relabel, *row[:2]) if reason in classes.BY_LABELS else None
        for row, reason in zip(rows, by_rule["reason"], strict=True)
    ]
    result: list[Decided] = []
    for row, corrected, rule in zip(rows, own, by_rule.itertuples(), strict=True):
        of_picture = [other for other_row, other in zip(rows, own, strict=True) if other and other_row[2] == row[2]]
        before = None if pd.isna(rule.catalog_id) or rule.reason else int(rule.catalog_id)
        after = corrected or (min(of_picture) if of_picture and rule.reason in ("", "label_conflict") else None)
        if after is None:
            result.append((before, rule.reason, rule.change))
        else:
            result.append((after, "", rule.change if after == before else "corrected"))
    return result


small = st.integers(1, 4)
photo_rows = st.lists(
    st.tuples(small, st.integers(0, 2), st.integers(1, 4), st.sampled_from(["", "", "", "", "shared_picture"])),
    min_size=1,
    max_size=10,
    unique_by=lambda row: row[:2],
)
label_rows = st.lists(
    st.tuples(small, st.sampled_from([11, 12, 13, 99]), st.sampled_from(["", FIRST, LAST])), max_size=8
)
places = st.tuples(small, st.sampled_from([None, 0, 1, 2]))
dates = st.sampled_from(["", BETWEEN, AFTER])
relabel_rows = st.dictionaries(places, st.tuples(st.sampled_from([11, 12, 13]), dates), max_size=6)
exclude_rows = st.dictionaries(places, st.tuples(st.sampled_from(["off_topic", "bad_mask"]), dates), max_size=3)


@settings(UNHURRIED, max_examples=examples(40))
@given(photo_rows, label_rows, relabel_rows, exclude_rows, st.booleans())
def test_every_photo_ends_as_the_rule_says_and_spent_rows_change_nothing(
    rows: list[PhotoRow], claimed: list[Any], relabel: dict[Any, Any], exclude: dict[Any, Any], keeps_latest: bool
) -> None:
    params = LATEST if keeps_latest else DROP
    decided = (
        relabelled(*((*place, *value) for place, value in relabel.items())),
        excluded(*((*place, *value) for place, value in exclude.items())),
    )
    found = Result(rows, labels(*claimed), *decided, params=params, known={1, 2, 3, 4})

    assert found.photos == resolve_slowly(rows, labels(*claimed), *decided, keeps_latest)

    relabel_left, exclude_left = (
        [row for row in of if (Path(row.file).stem, row.line) not in found.spent] for of in decided
    )
    assert Result(rows, labels(*claimed), relabel_left, exclude_left, params).photos == found.photos
