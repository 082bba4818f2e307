"""Stage split: from files to files, with params.yaml."""

from collections.abc import Callable
from pathlib import Path

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


def test_the_stage_writes_the_same_bytes_for_any_order_of_rows(in_project: Path) -> None:
    written = []
    for photos in (singles(50, 3), singles(50, 3)[::-1]):
        tables.write(in_project / "data/catalog.csv", tables.CATALOG, photos)
        split.main(in_project / "data/catalog.csv", in_project / "releases/split.csv", in_project / "data/split.csv")
        written.append((in_project / "data/split.csv").read_bytes())

    assert written[0] == written[1]
    assert written[0].startswith(b"product_id,position,subset\n0,0,")
    assert written[0].count(b"\n") == 51
