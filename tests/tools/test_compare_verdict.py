"""The verdict of tools.compare: what a reviewer would decide by, on small repositories that a real `dvc repro` ran."""

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imageset.formats import hdf5, row_checksums, source_ids, tables
from imageset.leakage.recall import Recall, describe
from imageset.report.identity import identify, identify_test_labels
from tests.tools.test_compare import commit, dvc, edit, git, run, section, write
from tools.compare.command import compare, read_found
from tools.compare.markdown import cut, fold
from tools.compare.photos import Side, find_changes
from tools.compare.snapshot import open_snapshot
from tools.compare.verdict import FLAGS, Found, Verdict

# One stage puts each file where the pipeline's stages would: a test edits what they would have written.
GRAPH = """\
stages:
  all:
    cmd: cp made/data/* data/ && cp made/reports/* reports/
    deps:
      - made/data/catalog.csv
      - made/data/catalog_rejects.csv
      - made/data/ingest.csv
      - made/data/predictions.csv
      - made/data/processed.h5
      - made/data/rejects.csv
      - made/data/split.csv
      - made/reports/baseline.json
      - made/reports/class_counts.csv
      - made/reports/identity.json
      - made/reports/leakage.json
      - made/reports/metrics.json
      - made/reports/validation.json
    params:
      - split
    outs:
      - data/catalog.csv
      - data/catalog_rejects.csv
      - data/ingest.csv
      - data/predictions.csv
      - data/processed.h5
      - data/rejects.csv
      - data/split.csv
      - reports/baseline.json:
          cache: false
      - reports/class_counts.csv:
          cache: false
      - reports/identity.json:
          cache: false
      - reports/leakage.json:
          cache: false
      - reports/metrics.json:
          cache: false
      - reports/validation.json:
          cache: false
"""
TABLES = {
    "catalog": tables.CATALOG,
    "catalog_rejects": tables.CATALOG_REJECTS,
    "ingest": tables.INGEST,
    "predictions": tables.PREDICTIONS,
    "rejects": tables.REJECTS,
    "split": tables.SPLIT,
}
NAMES = {1201: "shoes", 1202: "hat", 1203: "dress"}
CLASSES = {photo: 1201 if photo <= 20 else 1202 if photo <= 28 else 1203 for photo in range(1, 31)}
SUBSETS = {photo: "test" if photo % 3 == 0 else "train" for photo in CLASSES}
"""Of 30 photos, ten are test photos."""


class Dataset:
    """What the stages wrote of some photos, by product_id; all at position 0."""

    def __init__(self) -> None:
        self.classes = dict(CLASSES)
        self.subsets = dict(SUBSETS)
        self.wrong = {3, 6, 9}  # test photos that the baseline gets wrong
        self.left_out: dict[int, str] = {}
        self.texts: dict[int, str] = {}  # what the source calls products and classes, where that is text
        self.validation = {"passed": True, "checks": 18, "failed": 0, "leaks": 0}
        self.digest = "ab" * 32
        self.found = {"resized": 200, "text": 190}  # of 200 planted copies
        self.images = (np.arange(31 * 64) % 200).astype(np.uint8).reshape(31, 8, 8, 1)  # by product_id

    def remove(self, photo: int, reason: str = "") -> None:
        del self.classes[photo], self.subsets[photo]
        if reason:
            self.left_out[photo] = reason

    def write(self, root: Path) -> None:
        """Write the files into a repository's made/."""
        data, reports = root / "made/data", root / "made/reports"
        data.mkdir(parents=True, exist_ok=True)
        reports.mkdir(parents=True, exist_ok=True)
        tested = sorted(photo for photo, subset in self.subsets.items() if subset == "test")
        name = self.name
        rows: dict[str, list[tuple[Any, ...]]] = {
            "catalog": [
                (name(photo), 0, photo, name(class_), class_ - 1201, photo) for photo, class_ in self.classes.items()
            ],
            "split": [(name(photo), 0, subset) for photo, subset in self.subsets.items()],
            "predictions": [
                (
                    name(photo),
                    0,
                    self.classes[photo] - 1201,
                    2 if photo in self.wrong else self.classes[photo] - 1201,
                    "0",
                )
                for photo in tested
            ],
            "rejects": [(name(photo), 0, reason) for photo, reason in self.left_out.items()],
            "ingest": [(f"photos/{photo}", name(photo), 0, "stored", "") for photo in CLASSES],
            "catalog_rejects": [],
        }
        frames = {table: tables.frame(TABLES[table], content) for table, content in rows.items()}
        for table, content in frames.items():
            tables.write(data / f"{table}.csv", TABLES[table], content)
        with hdf5.create(data / "processed.h5", hdf5.PROCESSED) as file:
            hdf5.add(file, "images", self.images)
            hdf5.add(file, "ids", np.array([source_ids.number(name(photo)) for photo in range(31)]))
            hdf5.add(file, "positions", np.zeros(31, np.int16))
            row_checksums.finish(file)
        used = [class_ for class_ in NAMES if class_ in self.classes.values()]
        label_map = tables.frame(tables.LABEL_MAP, [(class_ - 1201, name(class_), NAMES[class_]) for class_ in used])
        accuracy = 1 - len(self.wrong & set(tested)) / len(tested)
        written = {
            "baseline": {"accuracy": accuracy, "accuracy_standard_error": 0.14, "floor": {"accuracy": 0.6}},
            "identity": identify(frames["split"], label_map) | identify_test_labels(frames["split"], frames["catalog"]),
            "metrics": {
                "content_digest": self.digest,
                "rejected": {"preprocess": dict.fromkeys(self.left_out.values(), 1)},
            },
            "leakage": describe({kind: Recall(200, found, 0) for kind, found in self.found.items()}, 200),
            "validation": self.validation,
        }
        for report, content in written.items():
            (reports / f"{report}.json").write_text(json.dumps(content))
        lines = ""
        for class_ in used:
            train, test = (self.count(class_, subset) for subset in ("train", "test"))
            lines += f'"{name(class_)}",{NAMES[class_]},{train},{test},{train + test}\n'
        (reports / "class_counts.csv").write_text(f"catalog_id,name,train,test,photos\n{lines}")

    def name(self, number: int) -> int | str:
        return self.texts.get(number, number)

    def count(self, class_: int, subset: str) -> int:
        return sum(self.classes[photo] == class_ and self.subsets[photo] == subset for photo in self.classes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a dataset, run and committed on branch main."""
    root = tmp_path_factory.mktemp("finished")
    write(root, {"dvc.yaml": GRAPH, "params.yaml": "split:\n  seed: 1\n"})
    Dataset().write(root)
    for folder in ("data", "reports"):
        (root / folder).mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    dvc(root, "init", "--quiet")
    assert dvc(root, "repro") == {"all"}
    commit(root)
    return root


@pytest.fixture
def repository(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository, as the working directory."""
    root = Path(shutil.copytree(finished, tmp_path / "repository"))
    monkeypatch.chdir(root)
    return root


def change(repository: Path, dataset: Dataset) -> None:
    """Have the stages make a dataset in place of the one on branch main."""
    dataset.write(repository)
    assert dvc(repository, "repro") == {"all"}


def compared(base: str = "main", head: str | None = None) -> tuple[str, Verdict]:
    sides = open_snapshot(base), open_snapshot(head)
    comparison = compare(*sides, read_found(*sides))
    return comparison.markdown, comparison.verdict


def judged(base: str = "main", head: str | None = None) -> Verdict:
    text, verdict = compared(base, head)

    assert 0 < len(verdict.lines) <= 8
    assert verdict.flags <= set(FLAGS)
    assert text.split("\n\n## ", 1)[0].split("\n\n", 1)[1] == "\n".join(f"- {line}" for line in verdict.lines)
    return verdict


def said(verdict: Verdict, pattern: str) -> bool:
    return any(re.search(pattern, line) for line in verdict.lines)


def test_nothing_changed(repository: Path) -> None:
    verdict = judged()

    assert verdict.flags == set()
    assert verdict.lines == [
        "**The dataset is the same**, to the last pixel.",
        "Checks: all 18 passed; no group is in two subsets.",
        "Baseline's accuracy: 0.700 (floor 0.600, standard error 0.140) → 0.700 (floor 0.600, standard error 0.140): "
        "no difference.",
        "10 test photos that both sides share: no answer turned right or wrong.",
        "No class lost all its photos.",
        "Photos: 30 (train 20, test 10): the same ones, in the same classes and subsets.",
        "No photo is left out.",
    ]


def test_a_head_that_was_not_run_is_not_known_section_by_section(repository: Path) -> None:
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    text, verdict = compared()

    assert verdict.lines == ["**Not known what this change does**: `dvc repro` has not run for it (to run: all)."]
    assert verdict.flags == {"unknown"}
    assert "Unchanged" not in text
    for title in ("Photos", "Class balance", "Metrics"):
        assert section(text, title) == "Not known: `dvc repro` has not run for the working tree, or not to its end."


def test_a_failed_run_is_not_called_unchanged(repository: Path) -> None:
    """Stage validate writes what it found and fails: dvc.lock is of the run before."""
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    failed = {"passed": False, "checks": 18, "failed": 2, "leaks": 3}
    write(repository, {"reports/validation.json": json.dumps(failed)})
    verdict = judged()

    assert said(verdict, r"Not known what this change does")
    assert said(
        verdict, r"\*\*The dataset is wrong\*\*: 2 of 18 checks failed; 3 photos or groups are in two subsets\."
    )
    assert verdict.flags == {"unknown", "leak"}


def test_reports_that_no_run_wrote_are_not_believed(repository: Path) -> None:
    edit(repository, "reports/baseline.json", "0.7", "0.9")
    text, verdict = compared()

    assert not said(verdict, "accuracy")
    assert "0.9" not in text


def test_other_test_photos_are_not_compared(repository: Path) -> None:
    dataset = Dataset()
    dataset.digest = "cd" * 32
    dataset.subsets |= dict.fromkeys((3, 6, 9, 12, 15), "train")
    dataset.wrong = {18}
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    change(repository, dataset)
    verdict = judged()

    assert said(verdict, r"^\*\*Other test photos \(10 → 5\): scores are not comparable\.\*\* ")
    assert said(verdict, r"\*\* Baseline's accuracy on each side's own test photos: 0\.700 .* and 0\.800 ")
    assert not any(re.search(r"[+-]0\.\d", line) for line in verdict.lines)
    assert said(verdict, r"^Of 5 test photos that both sides share, 0 are right only now and 1 was right only before")
    assert said(verdict, r"5 moved between subsets\.$")
    assert verdict.flags == set()


def test_test_photos_with_other_labels_are_not_compared(repository: Path) -> None:
    dataset = Dataset()
    dataset.classes |= {3: 1201 if dataset.classes[3] != 1201 else 1202}
    change(repository, dataset)

    assert said(judged(), r"^\*\*Other labels of the test photos: scores are not comparable\.\*\* ")


def test_photos_that_move_though_no_param_asks_for_it_are_a_flag(repository: Path) -> None:
    dataset = Dataset()
    dataset.subsets |= {1: "test"}
    change(repository, dataset)
    verdict = judged()

    assert said(verdict, r"\*\*1 moved between subsets, though no param of split changed\*\*")
    assert verdict.flags == {"moved"}


def test_a_class_that_lost_all_photos_is_named(repository: Path) -> None:
    dataset = Dataset()
    for photo in (29, 30):
        dataset.remove(photo, "too_dark")
    change(repository, dataset)
    text, verdict = compared()

    assert said(verdict, r"^\*\*1 class lost all its photos\*\*: dress \(1203, 2 photos\)\.$")
    assert said(verdict, r"Other test photos \(10 → 9\) and other classes \(3 → 2\): scores are not comparable")
    assert said(verdict, r"0 added, 2 gone \(2 of them left out for a reason\)")
    assert said(verdict, r"^Left out: 0 → 1: preprocess\.too_dark \+1\.$")
    assert verdict.flags == {"lost-class"}
    assert "| 29 | 0 | dress (1203) | train | too_dark |" in section(text, "Photos")


def test_a_difference_beyond_chance_is_told_from_one_within(repository: Path) -> None:
    better, chance = Dataset(), Dataset()
    better.digest = chance.digest = "cd" * 32
    better.wrong, chance.wrong = set(), {3, 6}
    change(repository, chance)
    within = judged()
    commit(repository)
    change(repository, better)
    beyond = judged("main~")

    assert said(within, r": \+0\.100, within one standard error\.$")
    assert said(beyond, r": \+0\.300, more than one standard error\.$")
    assert said(beyond, r"3 are right only now and 0 were right only before: may well be chance .*p = 0\.25\)")


def test_planted_copies_that_are_found_less_often_are_in_the_verdict(repository: Path) -> None:
    dataset = Dataset()
    dataset.found = {"resized": 200, "text": 150, "gray": 10}
    change(repository, dataset)
    text, verdict = compared()

    assert said(verdict, r"in two subsets\. \*\*Fewer planted copies are found\*\*: text 0\.950 → 0\.750\.$")
    assert section(text, "Planted copies that are found") == (
        "Of 200 photos in base, 200 in head.\n\n"
        "| kind | base | head | 95 % interval of head |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| text | 0.950 (190 of 200) | 0.750 (150 of 200) | 0.686 to 0.805 |\n"
        "| gray | - | 0.050 (10 of 200) | 0.027 to 0.090 |"
    )


def test_planted_copies_that_are_found_more_often_are_a_row_alone(repository: Path) -> None:
    dataset = Dataset()
    dataset.found["text"] = 199
    change(repository, dataset)
    text, verdict = compared()

    assert not said(verdict, "planted")
    assert "| text | 0.950 (190 of 200) | 0.995 (199 of 200) | 0.972 to 0.999 |" in text


def test_a_base_from_before_the_stage_has_no_recall(repository: Path) -> None:
    git(repository, "rm", "--quiet", "--cached", "reports/leakage.json")
    commit_without = ("commit", "--quiet", "--message", "as it was before")
    git(repository, *commit_without)
    text, verdict = compared()

    assert not said(verdict, "planted")
    assert section(text, "Planted copies that are found").startswith(
        "Not known: reports/leakage.json is missing in main"
    )


def test_relabelled_photos_are_listed(repository: Path) -> None:
    dataset = Dataset()
    dataset.classes |= {1: 1202, 2: 1203}
    change(repository, dataset)
    text, verdict = compared()

    assert verdict.flags == {"relabelled"}
    assert "| 1 | 0 | shoes (1201) | hat (1202) |" in section(text, "Photos")


UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
TEXTS = {1: UUID, 2: "=1+1|<b>", 3: "007", 4: "NA", 1201: "shoes", 1202: "Hüte / hats", 1203: "007"}


def test_products_and_classes_are_named_as_the_source_names_them(repository: Path) -> None:
    dataset = Dataset()
    dataset.texts = TEXTS
    change(repository, dataset)
    git(repository, "switch", "--quiet", "--create", "texts")
    commit(repository)
    dataset.classes |= {1: 1202, 2: 1203}
    dataset.remove(3, "too_dark")
    dataset.remove(4)
    change(repository, dataset)
    lists = section(compared("texts")[0], "Photos")

    assert f"| {UUID} | 0 | shoes | hat (Hüte / hats) |" in lists
    assert "| `=1+1\\|<b>` | 0 | shoes | dress (007) |" in lists
    assert "| 007 | 0 | shoes | test | too_dark |" in lists
    assert "| NA | 0 | shoes | train | head does not have it |" in lists
    assert "hat (Hüte / hats)" in section(compared("texts")[0], "Class balance")
    for photo in (2, 29, 30):
        dataset.classes[photo] = 1202
    change(repository, dataset)
    assert said(judged("texts"), r"^\*\*1 class lost all its photos\*\*: dress \(007, 2 photos\)\.$")
    dataset.classes |= {2: 1203, 29: 1203, 30: 1203}
    change(repository, dataset)

    page = write_page(repository, "texts")
    assert f"<b>{UUID}</b>" in page
    assert "<b>=1+1|&lt;b&gt;</b>" in page
    assert str(source_ids.number(UUID)) not in page + lists

    of_main, _ = compared("main")  # of before the source had texts
    assert "| 1 | 0 | shoes (1201) | train | head does not have it |" in section(of_main, "Photos")
    assert f"| {UUID} | 0 | hat (Hüte / hats) | train |" in section(of_main, "Photos")


def test_without_the_tables_of_a_side_it_says_how_to_get_them(repository: Path) -> None:
    dataset = Dataset()
    dataset.classes |= {1: 1202}
    dataset.digest = "cd" * 32
    change(repository, dataset)
    shutil.rmtree(repository / ".dvc/cache")
    verdict = judged()

    assert said(
        verdict, r"^Photos: 30 \(train 20, test 10\)\. Which came, went, were relabelled or moved is not known: `--"
    )
    assert said(verdict, r"^Test photos that both sides share: not known: `--fetch` brings")
    assert verdict.flags == {"unknown"}


def test_the_size_is_what_a_comment_takes(repository: Path) -> None:
    """Whatever the input: 5,000 classes with names of 5,000 characters, and 2,000 params, as long where they are shown.

    DVC takes minutes to write 2,000 long params into dvc.lock.
    """
    name = "![x](https://shop.example) " * 200
    counts = "".join(f"{number},{name}{number},{number},{number}\n" for number in range(1, 5001))
    write(repository, {"made/reports/class_counts.csv": f"catalog_id,name,train,photos\n{counts}"})
    params = "".join(f"  p{number:04}: {'<b>' * (2000 if number < 120 else 1)}\n" for number in range(2000))
    write(repository, {"params.yaml": f"split:\n  seed: 1\n{params}"})
    assert dvc(repository, "repro") == {"all"}
    text, verdict = compared()

    assert len(text) <= 65_400
    assert len(verdict.lines) <= 8
    assert "… and 1,900 more." in section(text, "Params changed")
    assert "(5000)` | 0 | 5000 | +5000 |" in section(text, "Class balance")
    assert section(text, "Metrics") == "Unchanged."


def test_a_text_that_is_too_long_is_cut_at_a_line_and_closed() -> None:
    row = "| `<details>` |\n"
    text = cut(f"# x\n\n{fold('All', row * 20_000)}\n")

    assert 65_000 < len(text) <= 65_400
    assert text.endswith(f"{row}\n</details>\n\nThe rest is cut: a comment on GitHub has at most 65,536 characters.\n")


def test_100_000_relabelled_photos_are_counted_and_twenty_listed(repository: Path) -> None:
    photos = range(1, 100_001)
    content = [(photo, 0, photo, 1201, 0, photo) for photo in photos]
    sides = []
    for class_ in (1201, 1202):
        frame = tables.frame(tables.CATALOG, content).assign(catalog_id=class_, subset="train")
        sides.append(Side(frame.set_index(["product_id", "position"]), pd.Series(dtype=str)))
    base, head = open_snapshot("main"), open_snapshot(None)
    found = Found((sides[0], sides[1]), find_changes(*sides), None)
    comparison = compare(base, head, found)

    assert said(comparison.verdict, "100,000 relabelled")
    assert "Relabelled: 100,000, the first 20 of them" in comparison.markdown
    assert len(comparison.markdown) < 10_000


def test_what_is_not_of_its_base_is_said(repository: Path) -> None:
    """A base whose dvc.lock is older than its params, then one whose report another program wrote."""
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    commit(repository)
    assert dvc(repository, "repro") == {"all"}
    stale = judged()
    commit(repository)
    edit(repository, "reports/baseline.json", "0.7", "0.9")
    commit(repository)
    git(repository, "checkout", "--quiet", "HEAD~", "--", "reports/baseline.json")
    edited = judged()

    assert re.search(
        r"^\*\*The dataset is the same\*\*, to the last pixel\. \*\*But dvc\.lock of main \(\w{7}\) is "
        r"older than its own params or files \(not run there: all\)\*\*: all of this compares with the last run there",
        stale.lines[0],
    )
    assert re.search(
        r"\*\*But reports/baseline\.json of main \(\w{7}\) is not what stage all wrote\*\*", edited.lines[0]
    )
    assert stale.flags == edited.flags == {"unknown"}


RELEASES = [
    (CLASSES, True, r"^\*\*split\.seed decides nothing\*\*: the release fixes the subset of all 30 photos\.$"),
    (CLASSES, False, r"^\*\*split\.seed decides nothing\*\*: the release fixes the subset of all 30 photos\.$"),
    (
        range(1, 29),
        True,
        r"^split\.seed decides on 2 of 30 photos alone: the release fixes the subset of the others\.$",
    ),
    (
        range(1, 29),
        False,
        r"^split\.seed decides on new photos alone: releases/split\.csv fixes the subset of 28 photos\.$",
    ),
]


@pytest.mark.parametrize(("photos", "has_run", "pattern"), RELEASES)
def test_a_param_that_a_release_overrules_is_said_to_decide_nothing(
    repository: Path, photos: Iterable[int], has_run: bool, pattern: str
) -> None:
    lines = "".join(f"{photo},0,{SUBSETS[photo]}\n" for photo in photos)
    write(repository, {"releases/split.csv": f"product_id,position,subset\n{lines}"})
    commit(repository)
    assert not said(judged(), "release")
    edit(repository, "params.yaml", "seed: 1", "seed: 2")
    if has_run:
        assert dvc(repository, "repro") == {"all"}

    assert said(judged(), pattern)


def test_a_report_of_head_that_is_missing_is_said_to_be(repository: Path) -> None:
    for name in ("baseline.json", "class_counts.csv", "metrics.json", "validation.json"):
        (repository / "reports" / name).unlink()
    verdict = judged()

    for part, name in (
        ("Baseline", "baseline.json"),
        ("Checks", "validation.json"),
        ("Classes", "class_counts.csv"),
        ("Photos", "class_counts.csv"),
        ("Left out", "metrics.json"),
    ):
        assert said(verdict, rf"^{part}: not known: reports/{name} is missing in the working tree\.$")
    assert verdict.flags == {"unknown"}


def test_exit_codes_are_those_that_were_asked_for(repository: Path, tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.classes |= {1: 1202}
    change(repository, dataset)
    relabelled = run(repository, "main", "--fail-on", "leak,relabelled", "--out", str(tmp_path / "out.md"))
    other = run(repository, "main", "--fail-on", "leak,moved,lost-class,unknown")
    wrong = run(repository, "main", "--fail-on", "leaks")

    assert (relabelled.returncode, other.returncode, wrong.returncode) == (1, 0, 2)
    assert relabelled.stderr == "compare: relabelled: --fail-on names it; see the verdict\n"
    assert (tmp_path / "out.md").read_text() == other.stdout
    assert "leaks: choose from leak, lost-class, moved, relabelled, unknown" in wrong.stderr


def write_page(repository: Path, base: str = "main") -> str:
    done = run(repository, base, "--html", "compare.html")

    assert (done.returncode, done.stderr) == (0, "")
    return (repository / "compare.html").read_text()


def test_the_page_shows_what_changed_before_and_after(repository: Path) -> None:
    dataset = Dataset()
    dataset.classes |= {1: 1202}
    dataset.remove(30, "too_dark")
    dataset.images[5] += 3
    dataset.images[7] += 9
    change(repository, dataset)
    page = write_page(repository)
    figures = [
        (name, caption, pictures.count("<img"), pictures.count("not in head"))
        for pictures, name, caption in re.findall(
            r"<figure>(.*?)<figcaption><b>(.*?)</b><br><span dir=\"auto\">(.*?)</span>", page, re.DOTALL
        )
    ]

    assert figures == [
        ("1", "shoes (1201) → hat (1202)", 2, 0),
        ("30", "dress (1203): too_dark", 1, 1),
        ("7", "by 9.0 of 255 on average", 2, 0),
        ("5", "by 3.0 of 255 on average", 2, 0),
    ]
    assert "2 of the 29 photos that both sides have; the most changed come first" in page
    assert "On the left as in base, on the right as in head." in page
    assert "<script" not in page
    assert "default-src &#39;none&#39;" in page


def test_images_of_another_size_are_shown_beside_each_other(repository: Path) -> None:
    dataset = Dataset()
    dataset.images = dataset.images.repeat(2, axis=1).repeat(2, axis=2)
    change(repository, dataset)

    assert "All 30 photos that both sides have: images of 8 x 8 x 1 became 16 x 16 x 1" in write_page(repository)


def test_a_page_without_the_pixels_of_a_side_says_how_to_get_them(repository: Path) -> None:
    md5 = open_snapshot(None).current["all"].outputs["data/processed.h5"] or ""
    dataset = Dataset()
    dataset.classes |= {1: 1202}
    change(repository, dataset)
    (repository / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()

    assert "Not known: `--fetch` brings the pixels from the remote." in write_page(repository)


def test_a_class_name_is_text_in_the_page(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "</figure><script>alert(1)</script>"
    monkeypatch.setitem(NAMES, 1202, hostile)
    dataset = Dataset()
    dataset.classes |= {1: 1202}
    change(repository, dataset)
    page = write_page(repository)

    assert "<script" not in page
    assert page.count("&lt;/figure&gt;&lt;script&gt;alert(1)&lt;/script&gt;") >= 2


def test_what_the_cache_lacks_is_fetched_for_both_sides(repository: Path, tmp_path: Path) -> None:
    dvc(repository, "remote", "add", "--default", "--local", "storage", str(tmp_path / "remote"))
    git(repository, "switch", "--quiet", "--create", "change")
    dvc(repository, "push")
    dataset = Dataset()
    dataset.classes |= {1: 1202}
    dataset.digest = "cd" * 32
    dataset.images[7] += 9
    change(repository, dataset)
    dvc(repository, "push")
    commit(repository)
    shutil.rmtree(repository / ".dvc/cache")
    without = run(repository, "main", "change")
    done = run(repository, "main", "change", "--fetch", "--html", "compare.html")

    assert "relabelled or moved is not known: `--fetch` brings the tables" in without.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert "- Photos: 30 (train 20, test 10): 0 added, 0 gone, 1 relabelled, 0 moved" in done.stdout
    assert "by 9.0 of 255 on average" in (repository / "compare.html").read_text()
    assert git(repository, "worktree", "list").count("\n") == 1
    assert git(repository, "status", "--short") == "?? compare.html\n"


def test_what_the_remote_lacks_stays_unknown(repository: Path, tmp_path: Path) -> None:
    dvc(repository, "remote", "add", "--default", "--local", "storage", str(tmp_path / "remote"))
    shutil.rmtree(repository / ".dvc/cache")
    done = run(repository, "main", "--fetch")

    assert done.returncode == 0
    assert "not known: `--fetch` brings the tables" in done.stdout
    assert "do not exist neither locally nor on remote" in done.stderr  # DVC's own words


def test_a_remote_that_does_not_answer_is_named_and_the_rest_compared(repository: Path) -> None:
    dvc(repository, "remote", "add", "--default", "--local", "storage", "s3://nothing/here")
    dvc(repository, "remote", "modify", "--local", "storage", "endpointurl", "http://127.0.0.1:9")
    shutil.rmtree(repository / ".dvc/cache")
    done = run(repository, "main", "--fetch")

    assert done.returncode == 0
    assert "not known: `--fetch` brings the tables" in done.stdout
    assert "failed; its own message above says why; what it would have brought is not known" in done.stderr
