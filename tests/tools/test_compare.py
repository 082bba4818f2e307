"""tools.compare on small git repositories, whose dvc.lock a real `dvc repro` wrote."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from imageset.errors import DataError
from imageset.report.markdown import escape
from tests.forked import run_python
from tests.project import ROOT
from tools.compare.command import compare, read_found
from tools.compare.snapshot import open_snapshot

PARAMS = """\
preprocess:
  image_side: 128
  fill: [255, 255, 255]
split:
  test_share: 0.2
  seed: 1
"""
# The stages copy text, so that a test chooses which outputs change. pixels sorts: the order of the listings does not
# change its output. split keeps the line of test_share: the seed does not change its output. listings reads
# marketplace.csv, which is no dep, like the database of the real stage. report runs last and is first in the file.
GRAPH = """\
stages:
  report:
    cmd: cat data/shares.txt data/processed.csv > reports/card.md
    deps:
      - data/processed.csv
      - data/shares.txt
      - stages/templates
    outs:
      - reports/card.md:
          cache: false
  listings:
    cmd: cat queries/listings.sql marketplace.csv > data/listings.csv
    deps:
      - queries/listings.sql
    outs:
      - data/listings.csv
  pixels:
    cmd: sort data/listings.csv > data/processed.csv
    deps:
      - data/listings.csv
      - imageset/photos/pixels.py
    outs:
      - data/processed.csv
  split:
    cmd: grep test_share params.yaml > data/shares.txt
    deps:
      - data/processed.csv
      - releases/split.csv
    params:
      - split
    outs:
      - data/shares.txt
"""
METRICS = {
    "rows": {"train": 80, "test": 20},
    "test_share": 0.2,
    "pixels": {"mean": [200.0, 100.0]},
    "content_digest": "ab" * 32,
}
CLASS_COUNTS = "catalog_id,name,train,test,photos\n1201,shoes,60,15,75\n1202,hat,20,5,25\n"
FILES = {
    "params.yaml": PARAMS,
    "dvc.yaml": GRAPH,
    "queries/listings.sql": "one\ntwo\n",
    "releases/split.csv": "product_id,position,subset\n",
    "imageset/photos/pixels.py": "SIDE = 128\n",
    "marketplace.csv": "three\n",
    "stages/templates/card.md": "a card\n",
    "stages/templates/page/page.css": "a {}\n",
    "stages/templates/page/é.js": "a()\n",
    ".gitignore": "/marketplace.csv\n",
    "reports/metrics.json": json.dumps(METRICS),
    "reports/class_counts.csv": CLASS_COUNTS,
}


def git(root: Path, *arguments: str) -> str:
    """Run git in root and return its output."""
    command = ["git", "-c", "user.name=tests", "-c", "user.email=tests@localhost", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "a change")


def dvc(root: Path, *arguments: str) -> set[str]:
    """Run dvc in root and return the stages that it ran."""
    done = run_python("dvc", *arguments, cwd=root)
    done.check_returncode()
    return set(re.findall(r"Running stage '(\w+)'", done.stdout))


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def edit(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert text.count(old) == 1
    (root / name).write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with all stages run and committed on branch main."""
    root = tmp_path_factory.mktemp("finished")
    write(root, FILES)
    (root / "data").mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    dvc(root, "init", "--quiet")
    assert dvc(root, "repro") == {"listings", "pixels", "split", "report"}
    commit(root)
    return root


@pytest.fixture
def repository(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished repository, as the working directory."""
    root = tmp_path / "repository"
    shutil.copytree(finished, root)
    monkeypatch.chdir(root)
    return root


def compared(base: str = "main", head: str | None = None) -> str:
    sides = open_snapshot(base), open_snapshot(head)
    return compare(*sides, read_found(*sides)).markdown


def section(text: str, title: str) -> str:
    """Return the text under a heading."""
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0].strip()


def rows(markdown: str) -> list[tuple[str, ...]]:
    """Return the cells of all tables' rows, headings left out; a cell ends at a bar that is not escaped."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in lines]
    rules = [number for number, row in enumerate(cells) if set("".join(row)) <= set("-:")]
    return [row for number, row in enumerate(cells) if number not in rules and number + 1 not in rules]


def stage_rows(text: str) -> dict[str, tuple[str, ...]]:
    """Return reruns, why and outputs by stage."""
    return {name: tuple(rest) for name, *rest in rows(section(text, "Stages that rerun, and why"))}


def test_a_file_of_a_folder_that_a_stage_reads_is_a_reason_to_rerun(repository: Path) -> None:
    assert stage_rows(compared()) == {}
    edit(repository, "stages/templates/page/page.css", "a {}", "b {}")
    commit(repository)

    assert ("report", "yes", "file stages/templates") in [row[:3] for row in rows(compared("HEAD~1", "HEAD"))]


def test_nothing_changed(repository: Path) -> None:
    text = compared()

    assert section(text, "Params changed") == "None."
    assert section(text, "Stages that rerun, and why") == "None."
    assert section(text, "Metrics") == "Unchanged."
    assert section(text, "Class balance") == "Unchanged."


def test_params_are_flattened_added_and_removed(repository: Path) -> None:
    edit(repository, "params.yaml", "[255, 255, 255]", "[0, 0, 0]")
    edit(repository, "params.yaml", "  seed: 1\n", "  validation_share: 0.1\n  note: null\n")
    edit(repository, "params.yaml", "image_side: 128", "image_side: '128'")

    assert rows(section(compared(), "Params changed")) == [
        ("preprocess.image_side", "128", "'128'"),
        ("preprocess.fill", "[255, 255, 255]", "[0, 0, 0]"),
        ("split.seed", "1", "—"),
        ("split.validation_share", "—", "0.1"),
        ("split.note", "—", "null"),
    ]


def test_without_a_run_the_stages_after_a_changed_one_rerun_perhaps(repository: Path) -> None:
    edit(repository, "params.yaml", "test_share: 0.2", "test_share: 0.3")
    text = compared()

    assert stage_rows(text) == {
        "split": ("yes", "params split.test_share", "no run recorded"),
        "report": ("perhaps", "if data/shares.txt of split changes", "no run recorded"),
    }
    assert list(stage_rows(text)) == ["report", "split"]
    assert "Stages with no run recorded have not run yet: run `dvc repro`." in text
    assert text.startswith("# From main")
    assert "- **Not known what this change does**: `dvc repro` has not run for it (to run: report, split)." in text


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        pytest.param(
            [("params.yaml", "test_share: 0.2", "test_share: 0.3")],
            {
                "split": ("yes", "params split.test_share", "changed: data/shares.txt"),
                "report": ("yes", "data/shares.txt of split", "changed: reports/card.md"),
            },
            id="param",
        ),
        pytest.param(
            [("params.yaml", "seed: 1", "note: 1"), ("releases/split.csv", "subset\n", "subset\n1,0,train\n")],
            {"split": ("yes", "params split.seed, split.note; file releases/split.csv", "unchanged")},
            id="params and a file that change no output",
        ),
        pytest.param(
            [("queries/listings.sql", "one\ntwo", "two\none")],
            {
                "listings": ("yes", "query queries/listings.sql", "changed: data/listings.csv"),
                "pixels": ("yes", "data/listings.csv of listings", "unchanged"),
            },
            id="query",
        ),
        pytest.param(
            [
                ("imageset/photos/pixels.py", "128", "64"),
                ("dvc.yaml", "imageset/photos/pixels.py\n", "imageset/photos/pixels.py\n      - .gitignore\n"),
            ],
            {"pixels": ("yes", "code imageset/photos/pixels.py; file .gitignore", "unchanged")},
            id="code and another dep",
        ),
        pytest.param(
            [("dvc.yaml", "cmd: sort data", "cmd: sort -r data")],
            {
                "pixels": ("yes", "command", "changed: data/processed.csv"),
                "split": ("yes", "data/processed.csv of pixels", "unchanged"),
                "report": ("yes", "data/processed.csv of pixels", "changed: reports/card.md"),
            },
            id="command",
        ),
        pytest.param(
            [
                ("params.yaml", "image_side: 128", "image_side: 64"),
                ("params.yaml", "seed: 1", "seed: 1.0"),
                ("dvc.yaml", "      - releases/split.csv\n", ""),
                ("releases/split.csv", "subset\n", "subset\n1,0,train\n"),
            ],
            {},
            id="param of no stage, equal number, dep no longer read",
        ),
        pytest.param(
            [("dvc.yaml", "    params:\n      - split\n", ""), ("params.yaml", "seed: 1", "seed: 2")],
            {},
            id="params no longer read",
        ),
    ],
)
def test_after_a_run_the_stages_are_those_that_dvc_ran(
    repository: Path, edits: list[tuple[str, str, str]], expected: dict[str, tuple[str, ...]]
) -> None:
    for name, old, new in edits:
        edit(repository, name, old, new)
    before = stage_rows(compared())
    ran = dvc(repository, "repro")

    assert stage_rows(compared()) == expected
    assert ran == set(expected)
    assert set(expected) <= set(before)
    assert {stage for stage, (reruns, *_) in before.items() if reruns == "yes"} <= ran


def test_a_forced_run_on_other_data_is_listed(repository: Path) -> None:
    write(repository, {"marketplace.csv": "four\n"})
    dvc(repository, "repro", "--force", "--single-item", "listings")
    dvc(repository, "repro")

    assert stage_rows(compared())["listings"] == (
        "yes",
        "run again on the same inputs, for example by make refresh",
        "changed: data/listings.csv",
    )
    assert stage_rows(compared())["pixels"][:2] == ("yes", "data/listings.csv of listings")


def test_new_and_removed_stages(repository: Path) -> None:
    edit(repository, "dvc.yaml", "  report:\n", "  card:\n")

    assert stage_rows(compared()) == {"card": ("yes", "new", "no run recorded"), "report": ("removed", "", "")}


def test_the_stage_that_shows_everything_is_not_listed(repository: Path) -> None:
    """Any change reruns it, and where nobody runs it, as in CI, no metric is out of date for that."""
    edit(repository, "dvc.yaml", "  report:\n", "  page:\n")

    assert stage_rows(compared()) == {"report": ("removed", "", "")}
    assert "have not run yet" not in compared()


def test_no_lock_at_the_base(repository: Path) -> None:
    (repository / "dvc.lock").unlink()
    commit(repository)
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    text = compared()

    assert rows(section(text, "Params changed")) == [("split.seed", "1", "2")]
    assert re.search(
        r"main \(\w{7}\) has no dvc\.lock.*run `dvc repro` there and commit dvc\.lock together with "
        r"reports/",
        text,
    )
    assert "## Metrics" not in text


def test_no_lock_at_the_head(repository: Path) -> None:
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    (repository / "dvc.lock").unlink()

    assert {name: reruns for name, (reruns, *_) in stage_rows(compared()).items()} == {
        "split": "yes",
        "report": "perhaps",
    }


def test_a_clone_without_data_gives_the_same_comparison(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "switch", "--quiet", "--create", "change")
    edit(repository, "params.yaml", "test_share: 0.2", "test_share: 0.3")
    dvc(repository, "repro")
    commit(repository)
    expected = compared("main", "change")
    git(tmp_path, "clone", "--quiet", "--branch=change", str(repository), "clone")
    monkeypatch.chdir(tmp_path / "clone")

    assert not (tmp_path / "clone" / "data" / "shares.txt").exists()
    assert stage_rows(expected)["report"][0] == "yes"
    assert compared("origin/main", "change") == expected.replace("From main ", "From origin/main ")


def test_a_project_in_a_folder_of_a_larger_repository(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path / "project", ignore=shutil.ignore_patterns(".git"))
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path)
    monkeypatch.chdir(tmp_path / "project")
    assert stage_rows(compared("HEAD", "HEAD")) == {}  # though a stage depends on a folder
    assert "is older than its own" not in compared()
    edit(tmp_path / "project", "params.yaml", "seed: 1", "seed: 2")

    assert rows(section(compared(), "Params changed")) == [("split.seed", "1", "2")]
    assert list(stage_rows(compared())) == ["report", "split"]


def test_a_named_head_is_read_from_git(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "change")
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    commit(repository)
    edit(repository, "params.yaml", "seed: 2", "seed: 3")

    assert rows(section(compared("main", "change"), "Params changed")) == [("split.seed", "1", "2")]
    assert rows(section(compared("main"), "Params changed")) == [("split.seed", "1", "3")]


def test_a_lock_older_than_its_own_params_and_files_is_named(repository: Path) -> None:
    edit(repository, "imageset/photos/pixels.py", "128", "64")
    commit(repository)

    assert re.search(r"dvc\.lock of main \(\w{7}\) is older than its own params or files \(pixels\)", compared())


def test_metrics(repository: Path) -> None:
    metrics = METRICS | {
        "rows": {"train": 75, "test": 25, "validation": 4},
        "test_share": 0.25,
        "pixels": {"mean": [201.5, 100.0]},
        "content_digest": "cd" * 32,
    }
    write(repository, {"reports/metrics.json": json.dumps(metrics)})

    assert rows(section(compared(), "Metrics")) == [
        ("rows.train", "80", "75", "-5"),
        ("rows.test", "20", "25", "+5"),
        ("test_share", "0.2", "0.25", "+0.05"),
        ("pixels.mean", "[200.0, 100.0]", "[201.5, 100.0]", "+1.5, 0"),
        ("content_digest", "abababababab…", "cdcdcdcdcdcd…", ""),
        ("rows.validation", "—", "4", ""),
    ]


def test_what_people_corrected_and_excluded_is_shown(repository: Path) -> None:
    before = METRICS | {"labels_changed": {"corrected": 1}, "rejected": {"catalog": {"rare_class": 3}}}
    write(repository, {"reports/metrics.json": json.dumps(before)})
    commit(repository)
    rejected = {"rare_class": 3, "off_topic": 2}
    after = METRICS | {"labels_changed": {"corrected": 4}, "rejected": {"catalog": rejected}}
    write(repository, {"reports/metrics.json": json.dumps(after)})

    assert rows(section(compared("HEAD"), "Metrics")) == [
        ("labels_changed.corrected", "1", "4", "+3"),
        ("rejected.catalog.off_topic", "—", "2", ""),
    ]


@pytest.mark.parametrize(
    ("title", "name"), [("Metrics", "reports/metrics.json"), ("Class balance", "reports/class_counts.csv")]
)
def test_missing_reports_are_named_with_their_revision(repository: Path, title: str, name: str) -> None:
    (repository / name).unlink()
    in_head = section(compared(), title)
    commit(repository)
    in_both = section(compared(), title)

    assert in_head == f"Not known: {name} is missing in the working tree."
    assert in_both == in_head


def test_class_balance(repository: Path) -> None:
    write(
        repository,
        {
            "reports/class_counts.csv": "catalog_id,name,train,validation,test,photos\n"
            "1201,shoes,40,5,5,50\n1203,dress,40,0,10,50\n"
        },
    )
    text = section(compared(), "Class balance")

    assert "2 classes in base, 2 in head." in text
    assert "New: dress. Gone, or without photos: hat." in text
    assert "class shares: 0.5000 " in text
    assert rows(text) == [
        ("dress (1203)", "0", "50", "+50", "0.00%", "50.00%"),
        ("shoes (1201)", "75", "50", "-25", "75.00%", "50.00%"),
        ("hat (1202)", "25", "0", "-25", "25.00%", "0.00%"),
    ]


def test_a_split_that_moved_photos_changes_no_class(repository: Path) -> None:
    write(repository, {"reports/class_counts.csv": CLASS_COUNTS.replace("60,15", "55,20")})
    text = section(compared(), "Class balance")

    assert rows(text) == []
    assert "- Photos: 100 (train 80 → 75, test 20 → 25)" in compared()
    assert "No class gained or lost photos." in text
    assert "class shares: 0.0000 " in text


def test_only_the_ten_largest_class_changes_are_listed(repository: Path) -> None:
    classes = "".join(f"{number},class {number},{number},0,{number}\n" for number in range(1, 31))
    write(repository, {"reports/class_counts.csv": f"catalog_id,name,train,test,photos\n{classes}"})
    text = section(compared(), "Class balance")
    changes = [row[0] for row in rows(text) if len(row) == 6]

    assert "The 10 largest of 32 changes of a class" in text
    assert changes == [
        "shoes (1201)",
        "class 30 (30)",
        "class 29 (29)",
        "class 28 (28)",
        "class 27 (27)",
        "class 26 (26)",
        "hat (1202)",
        "class 25 (25)",
        "class 24 (24)",
        "class 23 (23)",
    ]
    assert "class 10 and 20 more" in text


def test_hostile_names_stay_in_their_cell(repository: Path) -> None:
    write(
        repository,
        {
            "reports/class_counts.csv": "catalog_id,name,train,test,photos\n"
            '1201,"a|b\n| c | <details> `*",60,16,76\n1202,None,20,9,29\n'
        },
    )
    edit(repository, "params.yaml", "seed: 1", 'seed: "1 | 2\\n\\n# 3"')
    text = compared()

    assert rows(section(text, "Params changed"))[0][0] == "split.seed"
    assert len(rows(section(text, "Params changed"))[0]) == 3
    assert rows(section(text, "Class balance"))[-2:] == [
        ("None (1202)", "25", "29", "+4", "25.00%", "27.62%"),
        ("``a\\|b \\| c \\| <details> `* (1201)``", "75", "76", "+1", "75.00%", "72.38%"),
    ]


HOSTILE = [
    "![i](http://127.0.0.1:9/i.png)",
    "[click](https://shop.example)",
    "https://shop.example",
    "www.shop.example",
    "<img src=x>",
    "`code` ``` |",
    "`",
    "a\\|b",
    "*bold* | _so_ ~out~",
    "@everyone",
    "someone@shop.example",
    "#12 GH-12",
    "&lt;b&gt;",
    "&#x3c;b&#x3e;",
    ":+1: :smile:",
    "$x$",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_markup_in_a_class_name_is_shown_as_code(repository: Path, name: str) -> None:
    write(repository, {"reports/class_counts.csv": f"catalog_id,name,train,test,photos\n1203,{name},60,15,75\n"})
    found = [
        (token.type, token.content)
        for block in MarkdownIt("commonmark").enable("table").parse(compared())
        for token in block.children or []
        if name in token.content
    ]

    assert found == [("code_inline", name), ("code_inline", f"{name} (1203)")]


@pytest.mark.parametrize("unseen", ["\u202e", "\u2066", "\u0007", "\u009b"])
def test_characters_that_turn_or_hide_text_are_shown_as_their_number(repository: Path, unseen: str) -> None:
    write(repository, {"reports/class_counts.csv": f"catalog_id,name,train,test,photos\n1203,hat{unseen}x,60,15,75\n"})
    edit(repository, "params.yaml", "seed: 1", f'seed: "a\\u{ord(unseen):04x}b"')
    text = compared()

    assert unseen not in text
    assert f"| `hat\\u{ord(unseen):04x}x (1203)` |" in section(text, "Class balance")


def test_a_name_is_no_command_of_githubs_logs() -> None:
    assert escape("##[error]hat") == r"`\u0023#[error]hat`"


@pytest.mark.parametrize(
    "name", ["T-Shirts & Tops (M/L), 50 %", "Blusen, Größe L", "[255, 255, 255]", "split.test_share"]
)
def test_text_without_markup_stays_as_it_is(name: str) -> None:
    assert escape(name) == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-branch"], "compare: 'no-such-branch' is not a revision of this repository"),
        (["main", "no-such-branch"], "compare: 'no-such-branch' is not a revision of this repository"),
        (["--", "--output=x"], "compare: '--output=x' is not a revision of this repository"),
    ],
)
def test_errors_are_one_line(repository: Path, arguments: list[str], message: str) -> None:
    done = run(repository, *arguments)

    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "name", ["dvc.lock", "dvc.yaml", "params.yaml", "reports/metrics.json", "reports/class_counts.csv"]
)
def test_a_file_with_a_merge_conflict_is_named(repository: Path, name: str) -> None:
    text = (repository / name).read_text()
    write(repository, {name: f"{text}\n<<<<<<< HEAD\n{text}\n=======\n>>>>>>> change\n"})

    with pytest.raises(DataError, match=f"^{name} of the working tree cannot be read: .+$"):
        compared()


def test_a_base_from_before_the_pipeline(repository: Path) -> None:
    git(repository, "rm", "-r", "--quiet", ".")
    commit(repository)
    git(repository, "checkout", "--quiet", "HEAD~", "--", ".")

    assert ("split.seed", "—", "1") in rows(section(compared(), "Params changed"))
    assert "has no dvc.lock" in compared()
    with pytest.raises(
        DataError, match=r"^main \(\w{7}\) has no dvc\.yaml: run this in the root folder of the project$"
    ):
        compared("main~", "main")


def test_the_command_prints_the_comparison(repository: Path) -> None:
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    done = subprocess.run(
        [sys.executable, "-m", "tools.compare", "main", "HEAD"],
        cwd=repository,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C"},
    )

    assert done.returncode == 0
    assert done.stdout == compared("main", "HEAD")
    assert run(repository, "main").stdout == compared()


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("tools.compare", *arguments, cwd=root)


def test_make_compares_with_main_or_with_what_base_names() -> None:
    for arguments, base in (([], "main"), (["BASE=dataset@v1.2.0"], "dataset@v1.2.0")):
        done = subprocess.run(
            ["make", "--dry-run", "--silent", "--assume-old=.venv/pipeline", "compare", *arguments],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )

        assert done.stdout.splitlines()[-1] == f'.venv/bin/python -m tools.compare "{base}"'
