"""Progress without a terminal."""

import pytest

from imageset.runtime import progress


def test_a_log_gets_plain_lines_and_the_last_one_has_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    items = list(progress.bar(iter("abc"), "preprocess", 3))
    out, err = capsys.readouterr()

    assert items == ["a", "b", "c"]
    assert out == ""
    assert not set(err) & {"\r", "\x1b"}
    assert err.rstrip().splitlines()[-1].startswith("preprocess: 3 of 3, ")


def test_a_bar_updated_by_hand_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(None, "build train", 10, unit="row") as bar:
        bar.update(4)
        bar.update(3)
    err = capsys.readouterr().err

    assert not set(err) & {"\r", "\x1b"}
    assert err.rstrip().splitlines()[-1].startswith("build train: 7 of 10, ")


def test_quick_work_is_not_a_line_for_each_item(capsys: pytest.CaptureFixture[str]) -> None:
    assert sum(progress.bar(range(1000), "catalog", 1000)) == 499_500
    assert len(capsys.readouterr().err.split("\n")) < 10


def test_a_bar_within_a_bar_has_lines_and_no_escape_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    for _ in progress.bar(range(2), "searches", 2):
        list(progress.bar("ab", "details", 2))
    err = capsys.readouterr().err

    assert "\x1b" not in err
    assert err.count("details: 1 of 2, ") == 2


def test_where_nobody_knows_the_total_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.bar(iter("abc"), "inventory", None, unit="key"))
    last = capsys.readouterr().err.rstrip().splitlines()[-1]

    assert last.startswith("inventory: 3, ")
    assert last.endswith(" key/s")


def test_a_step_of_what_another_bar_counts_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress.bar(range(2), "searches", 2):
        with progress.hiding():
            assert list(progress.bar("ab", "details", 2)) == ["a", "b"]
            with progress.bar(None, "hashes", 2) as bar:
                bar.update(2)
    list(progress.bar("ab", "afterwards", 2))
    err = capsys.readouterr().err

    assert "details" not in err
    assert "hashes" not in err
    assert "searches: 2 of 2" in err
    assert "afterwards: 2 of 2" in err
