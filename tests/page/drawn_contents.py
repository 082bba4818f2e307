"""What the page says of photos that nobody took: as many classes as a test wants, no pictures."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from imageset.leakage.recall import Recall, describe
from imageset.page.assemble import assemble
from tests.project import ROOT

NAMES = ("<script>alert(1)</script>", "ワンピース", "เสื้อยืด", "قبعة", "=1+1", "coat")
REASONS = (("ingest", "too_many_pixels"), ("preprocess", "too_many_pixels"))
LOST = 4  # photos, the last ones: two for each of REASONS
SUBSETS = ("train", "test")
FOUND = {"resized": 20, "cropped": 18, "padded": 19, "text": 17, "sticker": 20, "gray": 20}  # of 20 planted copies
RECALLS = {kind: Recall(20, found, int(kind == "text")) for kind, found in FOUND.items()} | {"collage": Recall(0, 0, 0)}
FITS = {"yes": "Yes: all is well.", "reservations": "With reservations: 2 suspects.", "no": "No: a check failed."}


def write_page(folder: Path, classes: int, photos: int, **changes: Any) -> tuple[Path, dict[str, Any]]:
    """Write the page of such photos. Return its path and what it says."""
    contents = draw_contents(classes, photos) | changes
    return write_contents(folder, contents), contents


def write_contents(folder: Path, contents: dict[str, Any]) -> Path:
    """Write the page that says this. Return its path."""
    path = folder / "report.html"
    path.write_text(assemble(ROOT / "stages/templates/page", contents, {}), encoding="utf-8")
    return path


def draw_contents(classes: int, photos: int) -> dict[str, Any]:
    """Return what the page says. Photo i has class i % classes; every fifth is a test photo.

    Each class is a heap of the map. The first photo is in the heap of class 1. The baseline takes each third test photo
    for one of the next class.
    """
    columns = photo_columns(classes, photos)
    subsets = [
        Counter(own for own, at in zip(columns["class"], columns["subset"], strict=True) if at == s) for s in (0, 1)
    ]
    counts = {name: [subsets[place][own] for own in range(classes)] for place, name in enumerate(SUBSETS)}
    tested = [(own, said) for own, said in zip(columns["class"], columns["answer"], strict=True) if said >= 0]
    asked, right = Counter(own for own, _ in tested), Counter(own for own, said in tested if own == said)
    kept = photos - LOST
    empty: dict[str, Any] = {"pairs": {"photo": [], "other": [], "likeness": []}, "label_rows": {}, "augmented": []}
    return empty | {
        "digest": "0123456789ab" + "c" * 52,
        "version": "0.0.0",
        "sampled": None,
        "source": {"as_of": None, "newest_row": "2026-01-31T13:00:00+00:00"},
        "params": [{"name": "split.test_share", "value": "0.3", "shipped": "0.2"}],
        "verdict": judge("reservations"),
        "subsets": list(SUBSETS),
        "classes": {
            "catalog_id": [1200 + place for place in range(classes)],
            "label": list(range(classes)),
            "name": [name_class(place) for place in range(classes)],
            "photos": counts,
            "asked": [asked[own] for own in range(classes)],
            "right": [right[own] for own in range(classes)],
            "mean": [-1] * classes,
        },
        "kinds": ["label", "mask", "outlier", "photo"],
        "recommended_reasons": ["off_topic", "bad_mask"],
        "default_reasons": {"label": "", "mask": "bad_mask", "outlier": "off_topic", "photo": "bad_photo"},
        "rejects": [{"stage": stage, "reason": reason} for stage, reason in REASONS],
        "photos": columns,
        "suspects": {
            "kind": [0, 0],
            "photo": [0, 1],
            "rank": [1, 2],
            "score": [0.9, 0.8],
            "why": ["another_class"] * 2,
            "suggestion": [1, 0],
        },
        "class_suspects": [{"class": 0, "other": 1, "why": "same_class", "score": 0.7}],
        "changes": {"photo": [], "change": [], "told": [], "class": []},
        "flow": [
            {"stage": "ingest", "in": photos, "out": photos - 2, "rejected": {"too_many_pixels": 2}},
            {"stage": "preprocess", "in": photos - 2, "out": kept, "rejected": {"too_many_pixels": 2}},
        ],
        "checks": [{"name": name, "examined": 3, "passed": name != "b"} for name in ("a", "b", "c")],
        "baseline": {
            "accuracy": 0.75,
            "macro_f1": 0.7,
            "top5_accuracy": 0.9,
            "accuracy_standard_error": 0.04,
            "floor": {"accuracy": 0.2, "macro_f1": 0.03, "top5_accuracy": 0.6},
            "photos": {"train": 80, "test": 20},
        },
        "leakage": describe(RECALLS, 20),
        "augment": {"copies": 3},
        "sheets": {
            name: {"side": 64, "columns": 20, "rows": 20, "count": 0} for name in ("tiles", "means", "augmented")
        },
        "components": {"dimensions": 0, "scale": 1.0, "photos": []},
    }


def judge(fit: str) -> dict[str, Any]:
    """Return a verdict."""
    lines = [
        ("Fit to train on", FITS[fit], ""),
        ("Lost", "4 photos.", "photos?reject=any"),
        ("Suspect", "2.", "labels"),
    ]
    return {"fit": fit, "lines": [dict(zip(("name", "text", "link"), line, strict=True)) for line in lines]}


def name_class(place: int) -> str:
    return NAMES[place] if place < len(NAMES) else f"class {place}"


def photo_columns(classes: int, photos: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    heaps = rng.permutation(classes)
    own = [index % classes for index in range(photos)]
    kept = [index < photos - LOST for index in range(photos)]
    tested = [index for index in range(photos) if kept[index] and index // classes % 5 == 4]
    wrong = set(tested[::3])
    answer = [-1] * photos
    probability: list[float | None] = [None] * photos
    for place, index in enumerate(tested):
        answer[index] = (own[index] + (index in wrong)) % classes
        probability[index] = round(0.5 + place / (2 * len(tested)), 4)
    heap = [heaps[1 if index == 0 else own[index]] for index in range(photos)]
    places = [
        (int(at % 10) + float(x), int(at // 10) + float(y))
        for at, (x, y) in zip(heap, rng.uniform(0, 0.3, (photos, 2)), strict=True)
    ]
    facts = {"sharpness": 0.01, "brightness": 2.0, "contrast": 1.0, "aspect_ratio": 1.5, "uncertainty": 0.1}
    return {
        "product_id": [str(3_000_000 + index) for index in range(photos)],
        "class": own,
        "subset": [1 if index in set(tested) else 0 if kept[index] else -1 for index in range(photos)],
        "reject": [-1 if kept[index] else index % len(REASONS) for index in range(photos)],
        "group": list(range(photos)),
        "answer": answer,
        "probability": probability,
        "x": [places[index][0] if kept[index] else None for index in range(photos)],
        "y": [places[index][1] if kept[index] else None for index in range(photos)],
        "width": [300 + index % 7 for index in range(photos)],
        **{name: [round(step * (index % 50), 4) for index in range(photos)] for name, step in facts.items()},
        **{name: [value] * photos for name, value in SAME.items()},
    }


SAME = {
    "position": 0,
    "group_size": 1,
    "url": "",
    "key": "",
    "height": 400,
    "format": "JPEG",
    "foreground_share": 0.5,
    "border_share": 0.1,
    "pieces": 1,
    "decided": 0,
    "own_probability": 0.9,
    "other_class": -1,
    "mask_score": 1.0,
    "tile": -1,
    "detail": -1,
}
