"""Score what a person found of what was planted: python -m benchmarks.page.score --truth FILE PROJECT

Reads the corrections of PROJECT, as `python -m tools.suspects --apply` wrote them.
"""

import argparse
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.page.truth import Truth, read_truth
from benchmarks.shared.tables import table
from imageset.curation.corrections import Decision
from imageset.formats import tables
from tools.suspects.files import read_corrections, read_table

ENOUGH = 0.9  # of what was planted
BAD_MASK = "bad_mask"


class Decided(NamedTuple):
    """What a person decided, by product: its class, or why it is left out."""

    classes: Mapping[int, int]
    reasons: Mapping[int, str]

    @property
    def products(self) -> set[int]:
        return {*self.classes, *self.reasons}


def by_product(decisions: list[Decision]) -> dict[int, int | str]:
    return {decision.product_id: decision.value for decision in decisions}


def read_decided() -> Decided:
    """Return what the corrections of the working directory say."""
    found = read_corrections(read_table("classes.csv", tables.CLASSES))
    classes = {product: int(value) for product, value in by_product(found.labels).items()}
    reasons = {product: str(value) for product, value in by_product(found.exclusions).items()}
    return Decided(classes, reasons)


def find(truth: Truth, decided: Decided) -> dict[str, list[bool]]:
    """Return of each kind whether each of what was planted was found."""
    return {
        "class flipped": [
            product in decided.reasons or decided.classes.get(product) == right
            for product, right in truth.flips.items()
        ],
        "mask damaged": [product in decided.reasons for product in truth.masks],
        "off topic": [product in decided.reasons for product in truth.off_topic],
        "near copy": [not decided.products.isdisjoint(pair) for pair in truth.pairs],
    }


def find_wrong(truth: Truth, decided: Decided) -> dict[str, list[int]]:
    """Return the products that were marked wrongly, by how."""
    wrong: dict[str, list[int]] = {}

    def note(how: str, product: int) -> None:
        wrong.setdefault(how, []).append(product)

    for product, given in decided.classes.items():
        if product in decided.reasons:
            continue
        if product in truth.flips:
            if given != truth.flips[product]:
                note(
                    "wrong class called right" if given == truth.given[product] else "wrong class for another", product
                )
        elif product in truth.off_topic:
            note("off topic, given a class", product)
        elif given != truth.given.get(product, given):
            note("right class replaced", product)
    for product, reason in decided.reasons.items():
        if product not in truth.planted and reason != BAD_MASK:
            note(f"nothing planted, excluded as {reason}", product)
    for photo, copy in truth.pairs:
        if {photo, copy} <= set(decided.reasons):
            note("both of a pair excluded", photo)
    return wrong


def find_bad_masks(truth: Truth, decided: Decided) -> list[int]:
    """Return the products without a planted error that were excluded for their mask: many are right to be."""
    return [
        product for product, reason in decided.reasons.items() if product not in truth.planted and reason == BAD_MASK
    ]


def report(truth: Truth, decided: Decided, list_wrong: bool) -> None:
    """Print what was found, and what was marked wrongly."""
    found = find(truth, decided)
    every = [each for of_kind in found.values() for each in of_kind]
    rows = [(kind, str(len(each)), str(sum(each))) for kind, each in found.items()]
    table(("planted", "photos or pairs", "found"), [*rows, ("all", str(len(every)), str(sum(every)))])
    share = sum(every) / len(every)
    print(f"{share:.0%} found, {'at least' if share >= ENOUGH else 'less than'} {ENOUGH:.0%}\n")
    wrong = find_wrong(truth, decided)
    counted = Counter({how: len(products) for how, products in wrong.items()})
    table(("marked wrongly", "photos"), [(how, str(count)) for how, count in counted.most_common()])
    bad_masks = find_bad_masks(truth, decided)
    print(f"not planted, excluded as {BAD_MASK} (the photos have bad masks of their own): {len(bad_masks)}")
    right = set(decided.classes) - set(decided.reasons) - truth.planted
    kept = sum(decided.classes[product] == truth.given.get(product) for product in right)
    print(f"{len(decided.products)} photos decided on; {kept} of those without a planted error were called right")
    if list_wrong:
        listed = {**wrong, f"not planted, excluded as {BAD_MASK}": bad_masks} if bad_masks else wrong
        for how, products in listed.items():
            print(f"{how}: {', '.join(map(str, sorted(products)))}")


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.page.score", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--truth", type=Path, required=True, metavar="FILE", help="of benchmarks.page.plant")
    parser.add_argument("--list", action="store_true", help="name the products that were marked wrongly")
    parser.add_argument("project", type=Path, metavar="PROJECT", help="where the corrections are")
    chosen = parser.parse_args()
    truth = read_truth(chosen.truth)
    os.chdir(chosen.project)
    report(truth, read_decided(), chosen.list)


if __name__ == "__main__":
    main()
