"""Stage catalog after stage duplicates, from files to files: every photo gets a class, or a reason."""

from pathlib import Path

import pytest

from imageset.errors import ParamsError
from imageset.formats import tables
from sandbox.garments import GARMENTS
from stages import catalog
from tests.conftest import run_stage
from tests.curated import (
    FIRST,
    FOUND,
    INPUTS,
    LARGE,
    LAST,
    OUTPUTS,
    PATTERNS,
    Edit,
    LabelRow,
    by_photo,
    failure,
    pattern,
    photo,
    rows,
    run,
    run_split,
    write_labels,
    write_photos,
    write_release,
    written,
)


def test_people_may_label_all_photos_by_themselves(in_project: Path, edit_params: Edit) -> None:
    """queries/labels.sql has no query then: labels.csv has no rows."""
    edit_params("min_photos: 5", "min_photos: 1")
    write_photos(in_project, {(number, 0): photo("bag", number) for number in range(1, 5)})
    write_labels(in_project, [], {11: None, 12: None})
    (in_project / "corrections/labels.csv").write_text("product_id,position,catalog_id\n1,,11\n2,,12\n3,0,11\n")
    found = run(in_project)

    assert found.classes == {(1, 0): 11, (2, 0): 12, (3, 0): 11}
    assert found.reasons == {(4, 0): "no_label"}


@pytest.mark.usefixtures("likeness_of_patterns")
def test_each_reason_is_reached_and_label_changes_are_listed(in_project: Path, edit_params: Edit) -> None:
    everywhere = [(product_id, 0) for product_id in (11, 12, 13, 14)]
    edit_params("min_photos: 5", "min_photos: 2")
    edit_params("label_conflict: latest", "label_conflict: drop")
    write_photos(
        in_project,
        {
            (1, 0): pattern(0),
            (2, 0): pattern(3),
            (3, 0): pattern(1),
            (4, 0): photo("bag"),
            (4, 1): photo("bag", 2),
            (5, 0): photo("dress"),
            (6, 0): photo("skirt"),
            (7, 0): photo("skirt"),
            (8, 0): photo("hat"),
            (9, 0): photo("shoes"),
            (10, 0): photo("t-shirt"),
            **dict.fromkeys(everywhere, photo("scarf")),
        },
    )
    edit_params("max_products: 20", "max_products: 3")
    write_release(in_project, {(1, 0): "train", (2, 0): "test"})
    write_labels(
        in_project,
        [
            *((number, 11, FIRST) for number in (1, 2, 3, 4)),
            (5, 11, FIRST),
            (5, 12, LAST),
            (6, 11, FIRST),
            (7, 12, FIRST),
            (8, 99, FIRST),
            (9, None, FIRST),
            (10, 13, FIRST),
        ],
        {11: None, 12: 11, 13: 11},
    )
    found = run(in_project)

    assert found.reasons == {
        (3, 0): "bridges_release",
        (5, 0): "label_conflict",
        (6, 0): "label_conflict",
        (7, 0): "label_conflict",
        (8, 0): "unknown_class",
        (9, 0): "no_label",
        (10, 0): "rare_class",
        **dict.fromkeys(everywhere, "shared_picture"),
    }
    assert set(found.reasons.values()) == catalog.REASONS - {"duplicate"}  # of catalog.keep: best
    assert rows(found.catalog.drop(columns="row")) == [
        (1, 0, 11, 0, 1),
        (2, 0, 11, 0, 2),
        (4, 0, 11, 0, 4),
        (4, 1, 11, 0, 4),
    ]
    assert rows(found.label_map) == [(0, 11, "class 11")]
    assert [row[:4] for row in rows(found.changes)] == [
        (5, 0, "several_labels", "11 12"),
        (6, 0, "same_photo", "11 12"),
        (7, 0, "same_photo", "11 12"),
    ]
    assert found.changes["catalog_id"].isna().all()
    assert found.rejects["catalog_id"].fillna(0).tolist() == [11, 12, 11, 12, 99, 0, 13, 0, 0, 0, 0]


def test_with_latest_and_merge_each_label_change_is_listed(in_project: Path, edit_params: Edit) -> None:
    edit_params("min_photos: 5", "min_photos: 3")
    edit_params("rare: drop", "rare: merge")
    write_photos(
        in_project,
        {
            (1, 0): photo("bag"),
            (2, 0): photo("dress"),
            (3, 0): photo("skirt"),
            (4, 0): photo("skirt"),
            (5, 0): photo("hat"),
            (6, 0): photo("shoes"),
        },
    )
    write_labels(
        in_project,
        [(1, 12, FIRST), (2, 11, FIRST), (2, 12, LAST), (3, 11, FIRST), (4, 10, LAST), (5, 11, FIRST), (6, 20, FIRST)],
        {10: None, 11: 10, 12: 10, 20: 99},
    )
    found = run(in_project)

    assert found.classes == dict.fromkeys([(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)], 10)
    assert found.reasons == {(6, 0): "rare_class"}
    assert rows(found.changes) == [
        (1, 0, "rare_merged", "12", 10),
        (2, 0, "rare_merged", "12", 10),
        (2, 0, "several_labels", "11 12", 10),
        (3, 0, "same_photo", "10 11", 10),
        (4, 0, "same_photo", "10 11", 10),
        (5, 0, "rare_merged", "11", 10),
    ]


def test_ids_beyond_the_integers_of_a_float_stay_as_they_are(in_project: Path, edit_params: Edit) -> None:
    edit_params("min_photos: 5", "min_photos: 2")
    write_photos(
        in_project,
        {
            (LARGE, 0): photo("bag"),
            (2, 0): photo("dress"),
            (3, 0): photo("skirt"),
            (4, 0): photo("hat"),
            (LARGE - 1, 0): photo("shoes"),
            (5, 0): photo("t-shirt"),
        },
    )
    write_labels(
        in_project,
        [
            (LARGE, LARGE, FIRST),
            (2, LARGE, FIRST),
            (3, LARGE - 1, FIRST),
            (4, LARGE - 1, FIRST),
            (LARGE - 1, 12, FIRST),
        ],
        {LARGE: None, LARGE - 1: None, 12: None},
    )
    found = run(in_project)

    assert found.classes == {(2, 0): LARGE, (3, 0): LARGE - 1, (4, 0): LARGE - 1, (LARGE, 0): LARGE}
    assert found.groups[LARGE, 0] == LARGE
    assert found.reasons == {(5, 0): "no_label", (LARGE - 1, 0): "rare_class"}
    assert found.changes.empty


@pytest.mark.usefixtures("no_rare_classes")
def test_released_labels_stay_also_of_classes_without_photos(in_project: Path) -> None:
    tables.write(
        in_project / "releases/label_map.csv",
        tables.LABEL_MAP,
        tables.frame(tables.LABEL_MAP, [(0, 30, "coats"), (1, 12, "bags")]),
    )
    write_photos(in_project, {(1, 0): photo("bag"), (2, 0): photo("dress")})
    write_labels(in_project, [(1, 12, FIRST), (2, 11, FIRST)], {11: None, 12: None})
    found = run(in_project)

    assert rows(found.label_map) == [(0, 30, "coats"), (1, 12, "class 12"), (2, 11, "class 11")]
    assert by_photo(found.catalog, "label") == {(1, 0): 1, (2, 0): 2}


@pytest.mark.usefixtures("no_rare_classes")
def test_the_class_of_a_picture_on_several_products_is_not_that_of_their_other_photos(in_project: Path) -> None:
    chart = photo("bag", 9)
    write_photos(
        in_project,
        {
            (1, 0): photo("dress"),
            (1, 1): chart,
            (2, 0): photo("skirt"),
            (2, 1): chart,
            (3, 0): photo("hat"),
            (3, 1): chart,
        },
    )
    write_labels(in_project, [(1, 10, FIRST), (2, 11, LAST), (3, 12, FIRST)], {10: None, 11: None, 12: None})
    found = run(in_project)

    assert found.classes == {(1, 0): 10, (2, 0): 11, (3, 0): 12, (1, 1): 11, (2, 1): 11, (3, 1): 11}
    assert set(found.groups.values()) == {1}
    assert len(set(run_split(in_project).values())) == 1


def write_corrections(project: Path, labels: str = "", exclusions: str = "") -> None:
    """Write rows of product_id,position,catalog_id or reason, each with its date perhaps."""
    for name, column, content in (("labels", "catalog_id", labels), ("exclusions", "reason", exclusions)):
        text = f"product_id,position,{column},date\n{content}"
        (project / f"corrections/{name}.csv").write_text(text)


@pytest.mark.usefixtures("no_rare_classes")
def test_corrections_decide_and_the_spent_ones_are_listed(in_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(in_project, {(number, 0): photo(GARMENTS[number]) for number in range(1, 6)})
    claimed = [(1, 11, FIRST), (2, 11, FIRST), (3, 12, FIRST), (4, 12, FIRST), (6, 12, FIRST)]
    write_labels(in_project, claimed, {11: None, 12: None, 13: None})
    write_corrections(in_project, "1,0,12,\n5,,11,\n3,,12,\n6,,11,\n", "4,0,off_topic,\n4,,off_topic,\n")
    found = run(in_project)

    assert found.classes == {(1, 0): 12, (2, 0): 11, (3, 0): 12, (5, 0): 11}
    assert found.reasons == {(4, 0): "off_topic"}
    assert rows(found.changes.fillna("")) == [(1, 0, "corrected", "11", 12), (5, 0, "corrected", "", 11)]
    assert [(Path(row.file).name, row.line, row.why) for row in found.spent.itertuples()] == [
        ("exclusions.csv", 3, "overruled"),
        ("labels.csv", 4, "same_as_label"),
        ("labels.csv", 5, "no_photo"),
    ]
    assert capsys.readouterr().out.endswith(
        "; 6 corrections, 3 in use, 3 spent (1 overruled, 1 same_as_label, 1 no_photo)\n"
    )


@pytest.mark.usefixtures("no_rare_classes")
def test_a_correction_holds_after_a_release_and_when_the_photo_leaves_and_comes_back(in_project: Path) -> None:
    tables.write(
        in_project / "releases/label_map.csv",
        tables.LABEL_MAP,
        tables.frame(tables.LABEL_MAP, [(0, 12, "bags"), (1, 11, "coats")]),
    )
    write_release(in_project, {(1, 0): "test", (2, 0): "train", (9, 0): "train"})
    everything = {(1, 0): photo("bag"), (2, 0): photo("dress"), (3, 0): photo("hat")}
    labels: list[LabelRow] = [(1, 11, FIRST), (2, 11, FIRST), (3, 12, FIRST)]
    write_photos(in_project, everything)
    write_labels(in_project, labels, {11: None, 12: None})
    write_corrections(in_project, "1,0,12,\n", "2,,bad_mask,\n9,0,off_topic,\n")
    before, subsets = run(in_project), run_split(in_project)

    assert by_photo(before.catalog, "label") == {(1, 0): 0, (3, 0): 0}
    assert subsets[1, 0] == "test"
    assert before.spent["why"].tolist() == ["no_photo"]  # of a product that only the release knows

    write_photos(in_project, {(3, 0): photo("hat")})
    assert run(in_project).classes == {(3, 0): 12}

    write_photos(in_project, everything)
    write_labels(in_project, [*labels, (1, 11, LAST), (2, 12, LAST)], {11: None, 12: None})
    after = run(in_project)

    assert (after.classes, after.reasons) == (before.classes, before.reasons)
    assert run_split(in_project) == subsets


@pytest.mark.usefixtures("no_rare_classes")
def test_a_row_of_an_unknown_product_is_an_error_and_spent_in_a_state_of_the_past(
    in_project: Path, edit_params: Edit
) -> None:
    write_photos(in_project, {(1001, 0): photo("bag")})
    write_labels(in_project, [(1001, 11, FIRST)], {11: None})
    write_corrections(in_project, "1001,0,11,\n", "1020,0,off_topic,\n")

    place = f"{in_project}/corrections/exclusions.csv line 2"
    assert failure(in_project) == (
        f"{place}: no product 1020 in data/labels.csv, data/groups.csv or releases/split.csv; did you mean 1001?"
    )

    edit_params("as_of: null", 'as_of: "2026-01-31T00:00:00Z"')

    assert run(in_project).spent["why"].tolist() == ["not_in_dataset", "same_as_label"]


@pytest.mark.parametrize(
    ("labels", "exclusions", "message"),
    [
        ("1,0,112,\n", "", "labels.csv line 2: no class 112 in data/classes.csv; did you mean 12, 'class 12'?"),
        ("1,0,11,\n1,0,12,\n", "", "labels.csv line 3 contradicts line 2: 12 and 11 for photo 0 of product 1"),
        ("", "1,0,rare_class,\n", "exclusions.csv line 2: reason 'rare_class' is one that a stage gives"),
        ("", "1;0;off_topic;\n", "exclusions.csv line 2: reason '': expected one word of lower-case letters, digits"),
    ],
)
def test_a_wrong_row_ends_the_stage_in_one_line_that_names_it(
    in_project: Path, labels: str, exclusions: str, message: str
) -> None:
    write_photos(in_project, {(1, 0): photo("bag")})
    write_labels(in_project, [(1, 11, FIRST)], {11: None, 12: None})
    write_corrections(in_project, labels, exclusions)

    assert f"corrections/{message}" in failure(in_project)


def test_without_a_photo_the_reasons_of_exclusions_are_counted_too(in_project: Path) -> None:
    write_photos(in_project, {(1, 0): photo("bag")})
    write_labels(in_project, [(1, 11, FIRST)], {11: None})
    write_corrections(in_project, "", "1,,off_topic,\n")

    assert "no photo is left (1 off_topic)" in failure(in_project)


def test_parents_in_a_circle_are_one_error_line_with_merge_and_harmless_with_drop(
    in_project: Path, edit_params: Edit
) -> None:
    edit_params("min_photos: 5", "min_photos: 2")
    write_photos(in_project, {(1, 0): photo("bag"), (2, 0): photo("dress"), (3, 0): photo("skirt")})
    write_labels(in_project, [(1, 11, FIRST), (2, 11, FIRST), (3, 12, FIRST)], {11: 12, 12: 13, 13: 11})

    assert run(in_project).reasons == {(3, 0): "rare_class"}

    edit_params("rare: drop", "rare: merge")
    outputs = [f"data/{name}.csv" for name in OUTPUTS]
    ended = run_stage("catalog", *INPUTS, *outputs, cwd=in_project)

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()  # and none of progress: the search may take hours
    assert line.startswith("catalog: class ")
    assert "is its own ancestor" in line


def test_a_catalog_without_a_photo_is_an_error_with_the_counts(in_project: Path) -> None:
    write_photos(in_project, {(number, 0): photo(garment) for number, garment in enumerate(GARMENTS[:3])})
    write_labels(in_project, [(0, 10, FIRST), (1, 10, FIRST)], {10: None})

    assert failure(in_project).startswith("no photo is left (2 rare_class, 1 no_label): lower catalog.min_photos")


@pytest.mark.parametrize("labels", [[], [(None, 10, FIRST), (1, None, FIRST)]])
def test_labels_without_a_product_or_a_class_are_an_error_with_the_counts(
    in_project: Path, labels: list[LabelRow]
) -> None:
    write_photos(in_project, {(1, 0): pattern(0), (2, 0): pattern(1)})
    write_labels(in_project, labels, {})

    assert "no photo is left (2 no_label)" in failure(in_project)


def test_no_photos_at_all_are_an_error(in_project: Path) -> None:
    write_photos(in_project, {})
    write_labels(in_project, [(1, 10, FIRST)], {10: None})

    assert "no photo is left (none)" in failure(in_project)


@pytest.mark.usefixtures("no_rare_classes", "likeness_of_patterns")
def test_the_best_photo_of_a_picture_has_the_class_of_all(in_project: Path, edit_params: Edit) -> None:
    edit_params("  keep: all", "  keep: best")
    write_photos(in_project, {(number, 0): pattern(0) for number in (1, 2, 3)}, dict.fromkeys([(1, 0), (2, 0)], "same"))
    write_labels(in_project, [(1, 11, FIRST), (2, 12, LAST), (3, 11, FIRST)], {11: None, 12: None})
    found = run(in_project)

    assert found.classes == {(1, 0): 12}
    assert found.reasons == {(2, 0): "duplicate", (3, 0): "duplicate"}


@pytest.mark.usefixtures("likeness_of_patterns")
@pytest.mark.parametrize(
    "change",
    [
        ("  distance: 6", "  distance: 17"),
        ("  likeness: 0.55", "  likeness: 1.5"),
        ("label_conflict: latest", "label_conflict: newest"),
        ("min_photos: 5", "min_photos: 0"),
        ("rare: drop", "rare: keep"),
    ],
)
def test_params_out_of_their_range_are_refused_by_name(
    in_project: Path, edit_params: Edit, change: tuple[str, str]
) -> None:
    write_photos(in_project, {(1, 0): pattern(0)})
    edit_params(*change)

    with pytest.raises(ParamsError, match=rf"(duplicates|catalog)\.{change[0].partition(':')[0].strip()}"):
        run(in_project)


@pytest.mark.usefixtures("likeness_of_patterns")
def test_a_second_run_and_another_order_of_labels_give_the_same_bytes(in_project: Path, edit_params: Edit) -> None:
    edit_params("min_photos: 5", "min_photos: 2")
    edit_params("rare: drop", "rare: merge")
    write_photos(in_project, {(number, number % 2): pattern(number * 5 % PATTERNS) for number in range(1, 13)})
    labels = [
        (number, 10 + number * shift % 5, date)
        for number in range(12)
        for shift in (1, 3)
        for date in (FIRST, LAST, "")
    ]
    bytes_of = []
    for rows_of in (labels, labels, sorted(labels, key=lambda row: row[1:])):
        write_labels(in_project, rows_of, {10: None, 11: 10, 12: 10, 13: 12})
        write_corrections(in_project, "1,,13,\n2,,13,\n2,7,13,\n", "3,1,off_topic,\n4,9,off_topic,\n")
        run(in_project)
        bytes_of.append(written(in_project))

    assert bytes_of[0] == bytes_of[1] == bytes_of[2]
    for name, content in bytes_of[0].items():
        assert content.count(b"\n") > 1, name
        assert b"\r" not in content
        tables.write(in_project / "again.csv", FOUND[name], tables.read(in_project / f"data/{name}.csv", FOUND[name]))
        assert (in_project / "again.csv").read_bytes() == content, "not canonical"
