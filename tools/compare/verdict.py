"""The verdict of a comparison: at most eight lines, which say what a reviewer has to decide on."""

from typing import Any, NamedTuple

import pandas as pd

from imageset.curation import released_subsets
from imageset.formats import hdf5
from imageset.report.identity import identify
from imageset.report.markdown import escape
from tools.compare.markdown import arrow, count, format_names, name_class, shorten
from tools.compare.photos import PhotoChanges, Side
from tools.compare.recall import list_lower
from tools.compare.scores import PairedScores
from tools.compare.snapshot import BASELINE, CLASS_COUNTS, IDENTITY, LEAKAGE, METRICS, RELEASED, VALIDATION, Snapshot

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
    for part in PARTS:
        line, flag = part(base, head, found)
        lines += [line] if line else []
        flags |= flag
    return Verdict(lines, flags)


Part = tuple[str, set[str]]
NOTHING: Part = "", set()


def judge_run(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say whether head's reports are of its params and files, and whether base's are."""
    doubt = find_doubt(base)
    stale = f" **But {doubt}**: all of this compares with the last run there, not with {escape(base.title)}."
    text = judge_dataset(base, head, found)
    flags = {"unknown"} if doubt or head.outdated else set()
    return text + (stale if doubt else ""), flags


def find_doubt(base: Snapshot) -> str:
    """Return why base's dvc.lock and reports/ may not be of its params and files, "" where they are."""
    if base.outdated:
        older = f"dvc.lock of {escape(base.title)} is older than its own params or files"
        return f"{older} (not run there: {format_names(base.outdated)})"
    return next((problem for content, problem in base.reports.values() if content is not None and problem), "")


def judge_dataset(base: Snapshot, head: Snapshot, found: Found) -> str:
    """Say whether the dataset is another one."""
    if head.outdated:
        names = format_names(head.outdated)
        return f"**Not known what this change does**: `dvc repro` has not run for it (to run: {names})."
    if is_same_dataset(base, head):
        return "**The dataset is the same**, to the last pixel."
    if has_same_photos(found):
        means = [(side.reports[METRICS].content or {}).get("pixels.mean") for side in (base, head)]
        texts = [", ".join(f"{mean:.1f}" for mean in side or []) for side in means]
        text = f" (mean {' → '.join(texts)})" if texts[0] != texts[1] else ""
        return (
            f"**The dataset changes**: the same photos have other pixels{text}, other copies or another place. "
            "`dvc repro` has run for this change."
        )
    return "**The dataset changes**; `dvc repro` has run for this change."


def has_same_photos(found: Found) -> bool:
    """Return whether the tables say that both sides have the same photos in the same classes and subsets."""
    return found.photos is not None and not any(len(photos) for photos in found.photos)


def is_same_dataset(base: Snapshot, head: Snapshot) -> bool:
    """Return whether both sides' datasets have the same bytes, by what their runs reported."""
    before, (after, problem) = base.reports[METRICS].content or {}, head.reports[METRICS]
    return not problem and "content_digest" in before and before["content_digest"] == after.get("content_digest")


def find_gap(what: str, path: str, base: Snapshot, head: Snapshot) -> Part | None:
    """Return what to say where a report of a side says nothing, None where both say something.

    Where head has not run, nothing: judge_run says it of all.
    """
    if head.outdated:
        return NOTHING
    problem = head.reports[path].problem or (base.reports[path].problem if base.reports[path].content is None else "")
    return (f"{what}: not known: {problem}.", {"unknown"}) if problem else None


def judge_checks(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say whether head's dataset is valid, and whether photos of one group are in two subsets."""
    checks, problem = head.reports[VALIDATION]
    if checks is not None and not checks["passed"]:  # stage validate failed, so that dvc.lock is of an earlier run
        leaks = checks.get("leaks", 0)
        text = f"; {count(leaks, 'photo or group is', 'photos or groups are')} in two subsets" if leaks else ""
        failed = f"{checks['failed']:,} of {count(checks['checks'], 'check')} failed"
        return f"**The dataset is wrong**: {failed}{text}.", {"leak"} if leaks else set()
    if head.outdated:
        return NOTHING
    if problem:
        return f"Checks: not known: {problem}.", {"unknown"}
    return f"Checks: all {checks['checks']:,} passed; no group is in two subsets.{judge_recall(base, head)}", set()


def judge_recall(base: Snapshot, head: Snapshot) -> str:
    """Say of which planted copies fewer are found than before; "" where there are none, or where that is not known."""
    before, (after, problem) = base.reports[LEAKAGE].content, head.reports[LEAKAGE]
    lower = [] if before is None or after is None or problem else list_lower(before, after)
    return f" **Fewer planted copies are found**: {format_names(lower)}." if lower else ""


def judge_scores(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say whether the scores of both sides can be compared, each beside its floor; no difference where they cannot."""
    gap = find_gap("Baseline", BASELINE, base, head)
    if gap is not None:
        return gap
    before, after = (side.reports[BASELINE].content for side in (base, head))
    if before["accuracy"] is None or after["accuracy"] is None:
        return "Baseline: a side has no test photo, so no score.", set()
    texts = [
        f"{score['accuracy']:.3f} (floor {score['floor.accuracy']:.3f}, standard error "
        f"{score['accuracy_standard_error']:.3f})"
        for score in (before, after)
    ]
    own = f"Baseline's accuracy on each side's own test photos: {' and '.join(texts)}."
    differences = find_other_tests(base, head)
    if differences is None:
        return f"Not known whether scores can be compared: {IDENTITY} of a side is missing. {own}", {"unknown"}
    if differences:
        return f"**{differences}: scores are not comparable.** {own}", set()
    difference = round(after["accuracy"] - before["accuracy"], 4)
    size = "within" if abs(difference) <= after["accuracy_standard_error"] else "more than"
    judged = f"{difference:+.3f}, {size} one standard error" if difference else "no difference"
    return f"Baseline's accuracy: {' → '.join(texts)}: {judged}.", set()


def find_other_tests(base: Snapshot, head: Snapshot) -> str | None:
    """Return how the test photos or the classes differ, "" where they are the same, None where that is not known."""
    before, after = (side.reports[IDENTITY].content for side in (base, head))
    if before is None or after is None or head.reports[IDENTITY].problem:
        return None
    texts = []
    if before["test"]["digest"] != after["test"]["digest"]:
        texts.append(f"Other test photos ({before['test']['photos']:,} → {after['test']['photos']:,})")
    elif "test_labels" in before and before["test_labels"] != after.get("test_labels", before["test_labels"]):
        texts.append("other labels of the test photos")  # earlier versions wrote no digest of them
    if before["classes"]["digest"] != after["classes"]["digest"]:
        texts.append(f"other classes ({before['classes']['count']:,} → {after['classes']['count']:,})")
    text = " and ".join(texts)
    return text[:1].upper() + text[1:]


def judge_pairs(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say what the test photos that both sides share tell: they compare even where the test sets differ."""
    if find_gap("", BASELINE, base, head) is not None or (found.scores is None and is_same_dataset(base, head)):
        return NOTHING
    scores = found.scores
    if scores is None:
        return f"Test photos that both sides share: {FETCH}.", {"unknown"}
    if not scores.photos:
        return "Both sides share no test photo.", set()
    now, before = scores.right_in_head_alone, scores.right_in_base_alone
    if not now and not before:
        return f"{count(scores.photos, 'test photo')} that both sides share: no answer turned right or wrong.", set()
    judged = "more than chance" if scores.p < ODD else "may well be chance"
    return (
        f"Of {count(scores.photos, 'test photo')} that both sides share, {count(now, 'is', 'are')} right only now and "
        f"{count(before, 'was', 'were')} right only before: {judged} (McNemar's exact test, p = {scores.p:.2g})."
    ), set()


def judge_classes(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Name the classes that lost all photos."""
    gap = find_gap("Classes", CLASS_COUNTS, base, head)
    if gap is not None:
        return gap
    lost = find_lost_classes(*(side.reports[CLASS_COUNTS].content for side in (base, head)))
    if lost.empty:
        return "No class lost all its photos.", set()
    names = [
        name_class(name, catalog_id, count(photos, "photo"))
        for catalog_id, name, photos in zip(lost.index.tolist(), lost["name"], lost["photos"], strict=True)
    ]
    lost_all = "class lost all its photos" if len(names) == 1 else "classes lost all their photos"
    return f"**{len(names):,} {lost_all}**: {format_names(names)}.", {"lost-class"}


def find_lost_classes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the classes that had photos and have none, those with most photos first."""
    left = after["photos"].reindex(before.index).fillna(0)
    lost = before[(before["photos"] > 0) & (left == 0)]
    return lost.sort_values("photos", ascending=False, kind="stable")


def judge_photos(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Count the photos of both sides, and those that came, went, got another class or moved."""
    gap = find_gap("Photos", CLASS_COUNTS, base, head)
    if gap is not None:
        return gap
    counts = format_subset_counts(*(side.reports[CLASS_COUNTS].content for side in (base, head)))
    changes = found.photos
    if has_same_photos(found) or (changes is None and is_same_dataset(base, head)):
        return f"Photos: {counts}: the same ones, in the same classes and subsets.", set()
    if changes is None:
        return f"Photos: {counts}. Which came, went, were relabelled or moved is {FETCH}.", {"unknown"}
    flags = {"relabelled"} if len(changes.relabelled) else set()
    moved = f"{len(changes.moved):,} moved between subsets"
    if len(changes.moved) and not find_split_params(base, head):
        moved, flags = f"**{moved}, though no param of split changed**", flags | {"moved"}
    left_out = int((changes.gone["reason"] != "").sum())
    why = f" ({left_out:,} of them left out for a reason)" if len(changes.gone) else ""
    return (
        f"Photos: {counts}: {len(changes.added):,} added, {len(changes.gone):,} gone{why}, "
        f"{len(changes.relabelled):,} relabelled, {moved}."
    ), flags


def format_subset_counts(before: pd.DataFrame, after: pd.DataFrame) -> str:
    """Return how many photos both sides have, and how many in each subset, by class_counts.csv."""
    totals = [table.drop(columns="name").sum() for table in (before, after)]
    subsets = [name for name in dict.fromkeys([*totals[0].index, *totals[1].index]) if name != "photos"]
    texts = [f"{name} {arrow(*(int(total.get(name, 0)) for total in totals))}" for name in subsets]
    return f"{arrow(*(int(total['photos']) for total in totals))} ({', '.join(texts)})"


def find_split_params(base: Snapshot, head: Snapshot) -> list[str]:
    """Return the params of stage split that differ, so that photos may move."""
    names = [name for name in base.params | head.params if name.startswith("split.")]
    return [name for name in names if base.params.get(name) != head.params.get(name)]


def judge_release(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say how much a changed param of split still decides where a release fixes the subsets of photos."""
    released, changed = head.reports[RELEASED].content, find_split_params(base, head)
    if released is None or released.empty or not changed:
        return NOTHING
    names = format_names(changed)
    decide = "decides" if len(changed) == 1 else "decide"
    photos, free = count_free(base, head, found, released)
    if free == 0:
        return f"**{names} {decide} nothing**: the release fixes the subset of all {count(photos, 'photo')}.", set()
    if free is not None:
        others = "the release fixes the subset of the others"
        return f"{names} {decide} on {free:,} of {count(photos, 'photo')} alone: {others}.", set()
    text = (
        f"{names} {decide} on new photos alone: releases/split.csv fixes the subset of {count(len(released), 'photo')}"
    )
    return f"{text}.", set()


def count_free(base: Snapshot, head: Snapshot, found: Found, released: pd.DataFrame) -> tuple[int, int | None]:
    """Return how many photos there are, and how many of them are in no subset by a release; None if not known."""
    if found.sides is not None:
        photos = found.sides[1].photos.reset_index()
        fixed = released_subsets.of_groups(photos, released)  # but for those that a photo without a class fixes
        return len(photos), int((~photos["group"].isin(list(fixed))).sum())
    side = base if head.reports[IDENTITY].problem else head
    known = side.reports[IDENTITY].content or {}
    subsets = {name: known[name] for name in hdf5.SUBSETS if name in known}
    of_release = identify(released, pd.DataFrame({"catalog_id": []}))
    are_released = subsets and all(of_release.get(name) == subset for name, subset in subsets.items())
    return sum(subset["photos"] for subset in subsets.values()), 0 if are_released else None


def judge_rejects(base: Snapshot, head: Snapshot, found: Found) -> Part:
    """Say which reasons leave out more or fewer photos."""
    gap = find_gap("Left out", METRICS, base, head)
    if gap is not None:
        return gap
    before, after = (find_rejects(side.reports[METRICS].content) for side in (base, head))
    deltas = {name: after.get(name, 0) - before.get(name, 0) for name in before | after}
    changed = sorted(((name, delta) for name, delta in deltas.items() if delta), key=lambda pair: -abs(pair[1]))
    total = arrow(sum(before.values()), sum(after.values()))
    if not changed:
        return (f"Left out: {total}, for the same reasons as before." if before else "No photo is left out."), set()
    return f"Left out: {total}: {format_names([f'{shorten(name)} {delta:+,}' for name, delta in changed])}.", set()


def find_rejects(metrics: dict[str, Any]) -> dict[str, int]:
    """Return how many photos each stage and reason leave out, by the leaves of metrics.json."""
    return {name.removeprefix("rejected."): count for name, count in metrics.items() if name.startswith("rejected.")}


PARTS = (
    judge_run,
    judge_checks,
    judge_scores,
    judge_pairs,
    judge_classes,
    judge_photos,
    judge_rejects,
    judge_release,
)
