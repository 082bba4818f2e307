"""The verdict of a comparison: at most eight lines, which say what a reviewer has to decide on."""

from typing import NamedTuple

import pandas as pd

from imageset.report.markdown import escape
from tools.compare.markdown import format_names
from tools.compare.photos import PhotoChanges, Side
from tools.compare.scores import PairedScores
from tools.compare.snapshot import BASELINE, CLASS_COUNTS, IDENTITY, METRICS, VALIDATION, Snapshot

FLAGS = ("leak", "lost-class", "moved", "relabelled", "unknown")  # for --fail-on
FETCH = "not known: `--fetch` brings the tables from the remote"
ODD = 0.05  # below, McNemar's test calls a difference more than chance


class Found(NamedTuple):
    """What both sides' tables in DVC's cache say; None where they are not there."""

    sides: tuple[Side, Side] | None  # base and head
    photos: PhotoChanges | None
    scores: PairedScores | None


class Verdict(NamedTuple):
    """Lines of Markdown, and which of FLAGS are up."""

    lines: list[str]
    flags: set[str]


def judge(base: Snapshot, head: Snapshot, found: Found) -> Verdict:
    """Return the verdict on a change."""
    lines, flags = [], set()
    for part in (
        judge_run,
        judge_checks,
        judge_tests,
        judge_scores,
        judge_pairs,
        judge_classes,
        judge_photos,
        judge_rejects,
    ):
        line, flag = part(base, head, found)
        lines += [line] if line else []
        flags |= flag
    return Verdict(lines, flags)


Part = tuple[str, set[str]]


def judge_run(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say whether head's reports are of its params and files."""
    if head.outdated:
        stages = format_names(head.outdated)
        return f"**Not known what this change does**: `dvc repro` has not run for it (to run: {stages}).", {"unknown"}
    before, after = (side.reports[METRICS].content or {} for side in (base, head))
    if before and before.get("content_digest") == after.get("content_digest"):
        return "**The dataset is the same**, to the last pixel.", set()
    return "**The dataset changes**; `dvc repro` has run for this change.", set()


def judge_checks(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say whether head's dataset is valid, and whether photos of one group are in two subsets."""
    checks, problem = head.reports[VALIDATION]
    if checks is not None and not checks["passed"]:  # stage validate failed, so that dvc.lock is of an earlier run
        leaks = checks.get("leaks", 0)
        text = f"; {leaks:,} photos or groups are in two subsets" if leaks else ""
        return f"**The dataset is wrong**: {checks['failed']} of {checks['checks']} checks failed{text}.", (
            {"leak"} if leaks else set()
        )
    if problem:
        return "", set()
    return f"Checks: all {checks['checks']} passed; no group is in two subsets.", set()


def judge_tests(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say whether the scores of both sides can be compared."""
    if head.reports[BASELINE].problem:
        return "", set()
    differences = find_other_tests(base, head)
    if differences is None:
        return f"Not known whether scores can be compared: {IDENTITY} is missing in {escape(base.title)}.", {"unknown"}
    return f"**{differences}: scores are not comparable.**" if differences else "", set()


def find_other_tests(base: Snapshot, head: Snapshot) -> str | None:
    """Return how the test photos or the classes differ, "" where they are the same, None where that is not known."""
    before, after = (side.reports[IDENTITY].content for side in (base, head))
    if before is None or after is None:
        return None
    texts = []
    if before["test"]["digest"] != after["test"]["digest"]:
        texts.append(f"Other test photos ({before['test']['photos']:,} → {after['test']['photos']:,})")
    if before["classes"]["digest"] != after["classes"]["digest"]:
        texts.append(f"other classes ({before['classes']['count']:,} → {after['classes']['count']:,})")
    text = " and ".join(texts)
    return text[:1].upper() + text[1:]


def judge_scores(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say how accurate the baseline is on both sides, beside its floor; no difference where none can be told."""
    before, (after, problem) = base.reports[BASELINE].content, head.reports[BASELINE]
    if problem or before is None:
        return "", set()
    if before["accuracy"] is None or after["accuracy"] is None:
        return "Baseline: a side has no test photo, so no score.", set()
    texts = [
        f"{score['accuracy']:.3f} (floor {score['floor.accuracy']:.3f}, standard error "
        f"{score['accuracy_standard_error']:.3f})"
        for score in (before, after)
    ]
    if find_other_tests(base, head) != "":
        return f"Baseline's accuracy on each side's own test photos: {' and '.join(texts)}.", set()
    difference = round(after["accuracy"] - before["accuracy"], 4)
    size = "within" if abs(difference) <= after["accuracy_standard_error"] else "more than"
    judged = f"{difference:+.3f}, {size} one standard error" if difference else "no difference"
    return f"Baseline's accuracy: {' → '.join(texts)}: {judged}.", set()


def judge_pairs(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say what the test photos that both sides share tell: they compare even where the test sets differ."""
    if head.reports[BASELINE].problem or base.reports[BASELINE].content is None:
        return "", set()
    scores = found.scores
    if scores is None:
        return f"Test photos that both sides share: {FETCH}.", set()
    if not scores.photos:
        return "Both sides share no test photo.", set()
    judged = "more than chance" if scores.p < ODD else "may well be chance"
    return (
        f"Of {scores.photos:,} test photos that both sides share, {scores.right_in_head_alone:,} are right only now "
        f"and {scores.right_in_base_alone:,} were right only before: {judged} (McNemar's exact test, p = "
        f"{scores.p:.2g})."
    ), set()


def judge_classes(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Name the classes that lost all photos."""
    before, (after, problem) = base.reports[CLASS_COUNTS].content, head.reports[CLASS_COUNTS]
    if problem or before is None:
        return "", set()
    lost = find_lost_classes(before, after)
    if lost.empty:
        return "No class lost all its photos.", set()
    names = [f"{row['name']} ({key}, {row['photos']} photos)" for key, row in lost.iterrows()]
    return f"**{len(names):,} classes lost all their photos**: {format_names(names)}.", {"lost-class"}


def find_lost_classes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the classes that had photos and have none."""
    left = after["photos"].reindex(before.index).fillna(0)
    return before[(before["photos"] > 0) & (left == 0)]


def judge_photos(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Count the photos that came, went, got another class or moved."""
    if head.reports[METRICS].problem or base.reports[METRICS].content is None:
        return "", set()
    changes = found.photos
    if changes is None:
        return f"Photos that came, went, were relabelled or moved: {FETCH}.", {"unknown"}
    flags = {"relabelled"} if len(changes.relabelled) else set()
    moved = f"{len(changes.moved):,} moved between subsets"
    if len(changes.moved) and not is_asked_to_move(base, head):
        moved, flags = f"**{moved}, which no param asks for**", flags | {"moved"}
    excluded = int((changes.gone["reason"] != "").sum())
    return (
        f"Photos: {len(changes.added):,} added, {len(changes.gone):,} gone ({excluded:,} of them now left out with a "
        f"reason), {len(changes.relabelled):,} relabelled, {moved}."
    ), flags


def is_asked_to_move(base: Snapshot, head: Snapshot) -> bool:
    """Return whether the params of stage split differ, so that photos may move."""
    names = {name for name in base.params | head.params if name.startswith("split.")}
    return any(base.params.get(name) != head.params.get(name) for name in names)


def judge_rejects(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say which reasons leave out more or fewer photos."""
    before, (after, problem) = base.reports[METRICS].content, head.reports[METRICS]
    if problem or before is None:
        return "", set()
    deltas = find_reject_deltas(before, after)
    if not deltas:
        return "As many photos are left out as before, for the same reasons.", set()
    names = [f"{name} {delta:+,}" for name, delta in sorted(deltas.items(), key=lambda pair: -abs(pair[1]))]
    return f"Left out: {format_names(names)}.", set()


def find_reject_deltas(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return by how much the number of photos that each stage and reason leave out differs.

    Args:
        before, after: the leaves of metrics.json.
    """
    counts = [
        {name.removeprefix("rejected."): count for name, count in side.items() if name.startswith("rejected.")}
        for side in (before, after)
    ]
    names = dict.fromkeys([*counts[0], *counts[1]])
    deltas = {name: counts[1].get(name, 0) - counts[0].get(name, 0) for name in names}
    return {name: delta for name, delta in deltas.items() if delta}


PARTS = (
    judge_run,
    judge_checks,
    judge_tests,
    judge_scores,
    judge_pairs,
    judge_classes,
    judge_photos,
    judge_rejects,
)
