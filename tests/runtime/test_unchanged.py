"""What earlier stages wrote is checked before a stage reads it: by dvc.lock, and by the notes of stages run by hand."""

import os
from pathlib import Path

import pytest

from imageset.errors import DamagedFile, DataError
from imageset.runtime import files, unchanged

GRAPH = """stages:
  catalog:
    cmd: true
    deps: [corrections/labels.csv]
    outs: [data/catalog.csv]
  score:
    cmd: true
    metrics:
    - reports/score.json:
        cache: false
  split:
    cmd: true
    deps: [data/catalog.csv, reports/score.json, corrections/labels.csv, data/pixels.h5]
    outs: [data/split.csv]
  pixels:
    cmd: true
    outs: [data/pixels.h5]
"""
INPUTS = ("data/catalog.csv", "reports/score.json", "data/pixels.h5", "corrections/labels.csv")
GIVEN = [Path(each) for each in (*INPUTS, "data/split.csv")]


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three stages that have run, and its dvc.lock."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(GRAPH)
    for name in INPUTS:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(f"what {name} has\n")
    outputs = {"catalog": INPUTS[0], "score": INPUTS[1], "pixels": INPUTS[2]}
    lines = [
        f"  {stage}:\n    outs:\n    - path: {name}\n      hash: md5\n      md5: {files.md5(Path(name))}\n"
        for stage, name in outputs.items()
    ]
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n" + "".join(lines))
    return tmp_path


def flip(name: str) -> None:
    """Flip a bit as a disk does: size and time stay."""
    path = Path(name)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_files_as_they_were_written_are_accepted(graph: Path) -> None:
    unchanged.require_inputs("split", GIVEN)


def test_a_flipped_bit_in_a_table_is_named_with_what_to_do(graph: Path) -> None:
    flip("data/catalog.csv")

    with pytest.raises(DamagedFile) as caught:
        unchanged.require_inputs("split", GIVEN)
    assert str(caught.value) == (
        "data/catalog.csv is not as stage catalog wrote it: remove it, then `dvc checkout data/catalog.csv` or "
        "`dvc pull data/catalog.csv` restores it, or `dvc repro` makes it"
    )


def test_what_dvc_does_not_keep_is_made_again(graph: Path) -> None:
    flip("reports/score.json")

    with pytest.raises(DataError) as caught:
        unchanged.require_inputs("split", GIVEN)
    assert str(caught.value) == (
        "reports/score.json is not as stage score wrote it: remove it, then `dvc repro score` makes it again"
    )


@pytest.mark.parametrize("given", [["data"], ["./data/catalog.csv"], ["reports", "data/"]])
def test_an_input_counts_by_its_folder_and_however_it_is_spelled(given: list[str], graph: Path) -> None:
    flip("data/catalog.csv")

    for folder in (Path(), graph):
        with pytest.raises(DamagedFile):
            unchanged.require_inputs("split", [folder / each for each in given])


@pytest.mark.parametrize("name", ["corrections/labels.csv", "data/pixels.h5", "data/split.csv"])
def test_what_people_edit_what_checks_itself_and_what_is_written_is_not_checked(name: str, graph: Path) -> None:
    Path(name).write_text("another text\n")

    unchanged.require_inputs("split", GIVEN)


def test_files_that_the_command_line_does_not_name_are_not_checked(graph: Path) -> None:
    flip("data/catalog.csv")

    unchanged.require_inputs("split", [Path("/tmp/own.csv"), Path("corrections/labels.csv")])
    unchanged.require_inputs("a stage of somebody else", GIVEN)


def test_a_stage_run_by_hand_may_write_what_dvc_does_not_know(graph: Path) -> None:
    Path("data/catalog.csv").write_text("another catalog\n")
    unchanged.note_outputs("catalog", GIVEN)

    assert Path(".cache/catalog.md5").read_text() == f"{files.md5(Path('data/catalog.csv'))}  data/catalog.csv\n"
    unchanged.require_inputs("split", GIVEN)
    flip("data/catalog.csv")
    with pytest.raises(DamagedFile):
        unchanged.require_inputs("split", GIVEN)


def test_after_the_note_the_file_of_dvc_is_accepted_as_well(graph: Path) -> None:
    pulled = Path("data/catalog.csv").read_text()
    Path("data/catalog.csv").write_text("another catalog\n")
    unchanged.note_outputs("catalog", GIVEN)
    Path("data/catalog.csv").write_text(pulled)

    unchanged.require_inputs("split", GIVEN)


def test_without_dvc_lock_or_a_graph_all_is_accepted(graph: Path) -> None:
    flip("data/catalog.csv")
    Path("dvc.lock").unlink()
    unchanged.require_inputs("split", GIVEN)
    Path("dvc.yaml").unlink()
    unchanged.require_inputs("split", GIVEN)
    unchanged.note_outputs("catalog", GIVEN)

    assert not Path(".cache").exists()


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml"])
@pytest.mark.parametrize("text", ["<<<<<<< HEAD\nstages:\n", "stages: 7\n", "[]", "\0"])
def test_a_graph_that_cannot_be_read_is_an_error(name: str, text: str, graph: Path) -> None:
    Path(name).write_text(text)

    with pytest.raises(DataError, match=rf"{name} cannot be read: `git checkout -- {name}` restores the last one"):
        unchanged.require_inputs("split", GIVEN)


def test_an_md5_of_an_earlier_dvc_is_no_md5_of_the_bytes(graph: Path) -> None:
    """DVC 2 computed it over other line ends, and did not say `hash: md5`."""
    Path("dvc.lock").write_text(Path("dvc.lock").read_text().replace("      hash: md5\n", ""))
    flip("data/catalog.csv")

    unchanged.require_inputs("split", GIVEN)


@pytest.mark.parametrize("end", ["  catalog:", "outs:", "- path: d", "hash: ", "hash: md5", "md5: ", "md5: 0"])
def test_a_lock_that_is_cut_is_an_error(end: str, graph: Path) -> None:
    """A dvc that is killed while it writes dvc.lock leaves a part of it."""
    text = Path("dvc.lock").read_text().replace(" md5: ", " md5: 0")
    Path("dvc.lock").write_text(text[: text.index(end) + len(end)])

    with pytest.raises(
        DataError, match=r"^dvc\.lock cannot be read: `git checkout -- dvc\.lock` restores the last one$"
    ):
        unchanged.require_inputs("split", GIVEN)


@pytest.mark.parametrize(
    "more", ["hash: md5\n      md5: 0123456789abcdef0123456789abcdef.dir", "hash: md5\n      files: []"]
)
def test_a_folder_in_the_lock_is_accepted(more: str, graph: Path) -> None:
    with Path("dvc.lock").open("a") as file:
        file.write(f"    - path: data/photos\n      {more}\n")
    unchanged.require_inputs("split", GIVEN)
    flip("data/catalog.csv")

    with pytest.raises(DamagedFile):
        unchanged.require_inputs("split", GIVEN)


@pytest.mark.parametrize("wrong", ["deps: 7", "outs: 7", "outs: [{a: null, b: null}]"])
def test_a_graph_that_has_another_form_is_an_error(wrong: str, graph: Path) -> None:
    Path("dvc.yaml").write_text(f"{GRAPH}  other:\n    {wrong}\n")

    with pytest.raises(DataError, match=r"^dvc\.yaml cannot be read"):
        unchanged.require_inputs("split", GIVEN)


@pytest.mark.parametrize(("at", "new"), [(3, b"\xff"), (3, b"x"), (32, b"\0"), (40, b"\xff"), (-1, b"")])
def test_a_damaged_note_is_an_error(at: int, new: bytes, graph: Path) -> None:
    """It must not end the check of what dvc.lock does not have."""
    unchanged.note_outputs("catalog", GIVEN)
    note = Path(".cache/catalog.md5")
    text = note.read_bytes()
    note.write_bytes(text[:at] + new + text[at:][1:])

    with pytest.raises(
        DataError, match=r"^\.cache/catalog\.md5 cannot be read: remove it, and if stage catalog was run w"
    ):
        unchanged.require_inputs("split", GIVEN)

    note.write_bytes(b"")
    with pytest.raises(DataError, match=r"^\.cache/catalog\.md5 cannot be read"):
        unchanged.require_inputs("split", GIVEN)
