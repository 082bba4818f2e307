"""Stage split: from files to files, with params.yaml."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from imageset.errors import ParamsError
from imageset.formats import tables
from imageset.runtime import params
from stages import split
from tests.curation.test_stratified_split import singles


@pytest.mark.parametrize(
    ("test_share", "validation_share"), [("0.5", "0.5"), ("0.9", "0.2"), ("1.0", "0.0"), ("-0.1", "0.0")]
)
def test_shares_that_leave_nothing_to_train_on_are_refused(
    test_share: str, validation_share: str, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("  test_share: 0.2", f"  test_share: {test_share}")
    edit_params("  validation_share: 0.0", f"  validation_share: {validation_share}")

    with pytest.raises(ParamsError, match=r"params\.yaml: split"):
        params.load()


def run(project: Path, catalog: pd.DataFrame, *left_out: tuple[int, int, int]) -> None:
    """Run the stage. left_out: product_id, position and group of photos without a class."""
    grouped = [*catalog[["product_id", "position", "group"]].itertuples(index=False, name=None), *left_out]
    rows = [(product, position, row, group, row, "") for row, (product, position, group) in enumerate(grouped)]
    tables.write(project / "data/catalog.csv", tables.CATALOG, catalog)
    tables.write(project / "data/groups.csv", tables.GROUPS, tables.frame(tables.GROUPS, rows))
    names = ("data/catalog.csv", "data/groups.csv", "releases/split.csv", "data/split.csv")
    split.main(*(project / name for name in names))


def run_on(project: Path, groups: list[int]) -> dict[int, int]:
    """Run the stage on photos of one class with these groups; return how many photos of each group are in test."""
    rows = [(100 + number, 0, number, 1210, 0, group) for number, group in enumerate(groups)]
    catalog = tables.frame(tables.CATALOG, rows)
    run(project, catalog)
    both = catalog.merge(tables.read(project / "data/split.csv", tables.SPLIT))
    return dict(both[both["subset"] == "test"].groupby("group").size())


def test_a_seller_with_most_of_a_class_is_in_train_and_the_stage_says_what_that_costs(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = run_on(in_project, [100] * 95 + list(range(195, 200)))
    said = capsys.readouterr().out

    assert 100 not in held_out
    assert sum(held_out.values()) == 5
    assert (
        "class 1210 has 5 of 100 photos in test, and the group of product 100 has 95 of them. Scores of these classes "
        "say little" in said
    )


def test_a_class_of_two_large_sellers_has_one_of_them_in_test_and_the_stage_says_so(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = run_on(in_project, [100] * 55 + [155] * 45)

    assert held_out == {155: 45}
    said = capsys.readouterr().out
    assert "class 1210 has 45 of 100 photos in test, and the group of product 100 has 55" in said
    assert "1 class is far from its share" in said


def test_many_small_sellers_are_no_news(in_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held_out = run_on(in_project, [100 + number // 10 * 10 for number in range(100)])

    assert sum(held_out.values()) == 20
    assert set(held_out.values()) == {10}
    assert "far from their share" not in capsys.readouterr().out


def test_the_stage_writes_the_same_bytes_for_any_order_of_rows(in_project: Path) -> None:
    written = []
    for photos in (singles(50, 3), singles(50, 3)[::-1]):
        run(in_project, photos)
        written.append((in_project / "data/split.csv").read_bytes())

    assert written[0] == written[1]
    assert written[0].startswith(b"product_id,position,subset\n0,0,")
    assert written[0].count(b"\n") == 51


@pytest.mark.parametrize("subset", ["train", "test"])
def test_a_released_photo_without_a_class_still_fixes_its_group(in_project: Path, subset: str) -> None:
    """Models of the release have seen it, and it may come back."""
    released = tables.frame(tables.SPLIT, [(1, 0, subset)])
    tables.write(in_project / "releases/split.csv", tables.SPLIT, released)
    catalog = tables.frame(
        tables.CATALOG, [(number, 0, number, 1210, 0, 1 if number == 2 else number) for number in range(2, 12)]
    )
    run(in_project, catalog, (1, 0, 1))
    found = tables.read(in_project / "data/split.csv", tables.SPLIT).set_index("product_id")["subset"]

    assert found[2] == subset
    assert 1 not in found.index


def test_a_conflict_of_releases_in_a_group_without_a_class_stops_nothing(in_project: Path) -> None:
    released = tables.frame(tables.SPLIT, [(1, 0, "train"), (3, 0, "test")])
    tables.write(in_project / "releases/split.csv", tables.SPLIT, released)
    run(in_project, singles(20, 1).query("product_id > 5"), (1, 0, 1), (3, 0, 1))
