"""Batches: how many photos a worker gets at a time, and only those of which nothing is known."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest

from imageset.errors import ServerError, WorkerLost
from imageset.photos.batches import PhotoRow, make_batches, run_batches
from imageset.photos.outcomes import ChangedObject, Rejected
from imageset.photos.worker import Answer, PhotoRequest
from imageset.storage.bucket import StoredObject

MB = 1 << 20


def make_rows(sizes: Sequence[int], known: dict[int, Any] | None = None) -> list[PhotoRow]:
    """Return an inventory of objects of these sizes, and what is known of some."""
    return [
        PhotoRow(number, 0, PhotoRequest(StoredObject(f"{number}.jpeg", f"{number:032x}", size, "")), known_result)
        for number, size in enumerate(sizes)
        for known_result in [(known or {}).get(number)]
    ]


@pytest.mark.parametrize(
    ("most_requests", "result_bytes", "sizes", "expected"),
    [
        (64, 1024, [1] * 130, [64, 64, 2]),
        (8, 102_400, [1] * 20, [8, 8, 4]),
        (64, 1024, [], []),
        (64, 1024, [9 * MB, 9 * MB, 1, 16 * MB, 40 * MB, 1], [2, 2, 1, 1]),
        (64, 1700**2 * 3, [1] * 5, [2, 2, 1]),
    ],
)
def test_a_batch_ends_with_the_photo_that_makes_it_large_enough(
    most_requests: int, result_bytes: int, sizes: list[int], expected: list[int]
) -> None:
    inventory = make_rows(sizes)
    batches = list(make_batches(inventory, most_requests, result_bytes))

    assert [len(batch.rows) for batch in batches] == [len(batch.requests) for batch in batches] == expected
    assert list(chain.from_iterable(batch.rows for batch in batches)) == inventory


def test_a_photo_weighs_what_travels_of_it_its_mask_too() -> None:
    rows = [row._replace(request=row.request._replace(mask=bytes(9 * MB))) for row in make_rows([1] * 5)]

    assert [len(batch.rows) for batch in make_batches(rows, 64, 1024)] == [2, 2, 1]


def test_a_photo_that_is_known_is_not_requested_and_waits_in_its_batch() -> None:
    known = dict.fromkeys(range(3, 50), "a mask") | {60: Rejected("empty")}
    inventory = make_rows([1] * 80, known)
    batches = list(make_batches(inventory, 8, 1024))

    assert list(chain.from_iterable(batch.rows for batch in batches)) == inventory
    assert [one.stored.key for batch in batches for one in batch.requests] == [
        f"{number}.jpeg" for number in range(80) if number not in known
    ]
    assert [len(batch.requests) for batch in batches] == [8, 8, 8, 8]
    assert [len(batch.rows) for batch in batches] == [55, 9, 8, 8]


def test_known_photos_weigh_what_is_returned_of_them_and_not_what_would_be_got() -> None:
    batches = list(make_batches(make_rows([9 * MB] * 40, dict.fromkeys(range(40), "pixels")), 8, MB))

    assert [len(batch.rows) for batch in batches] == [16, 16, 8]
    assert [batch.requests for batch in batches] == [[], [], []]


class Future:
    """What a call in this process gave."""

    def __init__(self, function: Any, items: list[Any]) -> None:
        self.function, self.items = function, items

    def result(self) -> Any:
        return self.function(self.items)

    def cancel(self) -> None:
        pass


class OwnProcess:
    """A pool of one slot that calls the function here."""

    slots = 1

    def submit(self, function: Any, items: list[Any]) -> Future:
        return Future(function, items)


def run(rows: list[PhotoRow], outcomes: dict[int, Any]) -> tuple[list[Any], list[Any]]:
    """Run batches of four, and return what each photo became, and what was remembered."""
    remembered = []

    def work(requests: list[PhotoRequest]) -> list[Answer]:
        answers = []
        for request in requests:
            outcome = outcomes.get(int(request.stored.key.removesuffix(".jpeg")), f"made of {request.stored.key}")
            if isinstance(outcome, Exception):
                raise outcome
            answers.append(Answer(outcome, True))
        return answers

    found = run_batches(
        make_batches(rows, 4, 1), OwnProcess(), work, lambda request, made: remembered.append((request, made))
    )
    return [(row.product_id, *answer) for row, answer in found], remembered


def test_each_photo_comes_with_its_answer_in_order_and_what_a_worker_made_is_remembered() -> None:
    rows = make_rows([1] * 10, {0: "known", 5: Rejected("empty"), 9: "known"})
    found, remembered = run(rows, {3: Rejected("truncated")})

    assert found == [
        (0, "known", False),
        (1, "made of 1.jpeg", True),
        (2, "made of 2.jpeg", True),
        (3, Rejected("truncated"), True),
        (4, "made of 4.jpeg", True),
        (5, Rejected("empty"), False),
        *[(number, f"made of {number}.jpeg", True) for number in (6, 7, 8)],
        (9, "known", False),
    ]
    assert remembered == [(rows[number].request, outcome) for number, outcome, asked in found if asked]


def test_a_changed_object_is_not_remembered() -> None:
    found, remembered = run(make_rows([1] * 3), {1: ChangedObject("1.jpeg")})

    assert found[1] == (1, ChangedObject("1.jpeg"), True)
    assert [made for _, made in remembered] == ["made of 0.jpeg", "made of 2.jpeg"]


@pytest.mark.parametrize("reason", ["crash", "timeout"])
def test_the_photo_that_ends_its_process_twice_is_rejected_and_its_batch_is_not(reason: str) -> None:
    found, remembered = run(make_rows([1] * 6), {2: WorkerLost(reason)})

    assert [outcome for _, outcome, _ in found] == [
        Rejected(f"decoder_{reason}") if number == 2 else f"made of {number}.jpeg" for number in range(6)
    ]
    assert len(remembered) == 6


def test_what_a_worker_raises_is_raised_after_the_answers_before_it() -> None:
    with pytest.raises(ServerError, match="the bucket is gone"):
        run(make_rows([1] * 6), {5: ServerError("the bucket is gone")})
