"""Orders of samplers and of balanced classes: which rows come, and that a resumed run goes on the same."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from imageset.reader import ImageSet, loader
from imageset.reader.sampling import BalancedOrder
from tests.dataset_files import write

ROWS = 203


@pytest.fixture
def photos(tmp_path: Path) -> ImageSet:
    write(tmp_path / "dataset.h5", counts={"train": ROWS, "test": 5})
    return ImageSet(tmp_path / "dataset.h5")


def rows_of(batches: Any) -> list[int]:
    """Return the rows of batches, by the number in each image."""
    return [int(image[0, 0, 0]) for images, *_ in batches for image in images]


class Backwards:
    """Every second row from the end, or from the one before in odd epochs."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 100

    def __iter__(self) -> Any:
        return iter(range(199 + self.epoch % 2, 0, -2)[:100])


SAMPLERS: dict[str, Any] = {
    "random": RandomSampler,
    "some, with replacement": lambda photos: RandomSampler(photos, replacement=True, num_samples=95),
    "weighted": lambda photos: WeightedRandomSampler(photos.class_weights("inverse")[photos.labels], 120),
    "subset": lambda photos: SubsetRandomSampler(range(3, 60)),
    "in order": SequentialSampler,
    "distributed": lambda photos: DistributedSampler(photos, num_replicas=3, rank=1, seed=4),
    "a list": lambda photos: [5, 3, 3, 202, *range(30)],
    "an array": lambda photos: np.arange(40)[::-1],
    "set_epoch": lambda photos: Backwards(),
}
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


@every_sampler
def test_a_sampler_names_the_rows_of_each_epoch(photos: ImageSet, name: str) -> None:
    sampler = SAMPLERS[name](photos)
    batches = loader(photos, 10, sampler=sampler, seed=1)

    assert len(batches) == -(-len(sampler) // 10)
    for epoch in range(2):
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        with torch.random.fork_rng([]):
            found = list(batches)
        expected = [*map(int, sampler)]
        if name in ("in order", "distributed", "a list", "an array", "set_epoch"):
            assert rows_of(found) == expected
        assert len(rows_of(found)) == len(sampler) == len(expected)
        assert [labels.tolist() for _, labels in found] == [photos.labels[rows_of([batch])].tolist() for batch in found]
    assert set(rows_of(found)) <= set(range(3, 60)) or name != "subset"
    assert sorted(rows_of(found)) == list(range(ROWS)) or name != "random"


@every_sampler
@pytest.mark.parametrize("done", [0, 3])
def test_a_resumed_run_goes_on_with_a_sampler_of_torch(photos: ImageSet, name: str, done: int) -> None:
    first, second, whole = (loader(photos, 10, sampler=SAMPLERS[name](photos), seed=1) for _ in range(3))
    torch.manual_seed(3)
    list(first)
    before = rows_of(islice(first, done)) if done else []
    torch.manual_seed(4)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    list(whole)

    assert before + rows_of(second) == rows_of(whole)
    assert rows_of(second) == rows_of(whole)


def test_the_state_of_one_rank_resumes_every_rank(photos: ImageSet) -> None:
    samplers: list[Any] = [DistributedSampler(photos, num_replicas=2, rank=rank, seed=4) for rank in range(2)]
    ranks = [loader(photos, 10, sampler=sampler) for sampler in samplers]
    before = [rows_of(islice(batches, 3)) for batches in ranks]
    state = ranks[0].state_dict()
    for sampler, batches, rows in zip(samplers, ranks, before, strict=True):
        batches.load_state_dict(state)
        assert rows + rows_of(batches) == [*map(int, sampler)]


def test_epochs_of_a_sampler_of_torch_differ_and_leave_its_generator_as_it_was(photos: ImageSet) -> None:
    batches = loader(photos, 10, sampler=RandomSampler(photos))
    before = torch.get_rng_state()
    epochs = [rows_of(batches) for _ in range(2)]

    assert epochs[0] != epochs[1]
    assert rows_of(loader(photos, 10, sampler=RandomSampler(photos), seed=1)) not in epochs
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sampler_that_draws_other_rows_after_a_resume_is_found(photos: ImageSet) -> None:
    def start() -> Any:
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(1 << 30, ())))
        return loader(photos, 10, sampler=RandomSampler(photos, generator=generator))

    first, second = start(), start()
    rows_of(islice(first, 3))
    second.load_state_dict(first.state_dict())

    with pytest.raises(ValueError, match="the sampler gives other rows than when the state was saved"):
        next(iter(second))
    assert second.state_dict() == first.state_dict()


def test_a_sampler_can_drop_the_last_batch(photos: ImageSet) -> None:
    batches = loader(photos, 10, sampler=[7] * 25, drop_last=True)

    assert [rows_of([batch]) for batch in batches] == [[7] * 10] * 2
    assert list(loader(photos, 10, sampler=[])) == []


class Short:
    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Any:
        return iter(range(3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sampler": [1], "shuffle": True}, ValueError, "sampler decides the order: leave out shuffle=True"),
        ({"sampler": [1], "shuffle": "blocks"}, ValueError, "sampler decides the order: leave out shuffle='blocks'"),
        ({"sampler": [1], "balance": "classes"}, ValueError, "leave out balance='classes'"),
        ({"sampler": [1], "world_size": 2}, ValueError, "leave out rank and world_size=2, .* DistributedSampler"),
        ({"sampler": iter([1])}, TypeError, "sampler is an iterator, which ends after one epoch"),
        ({"sampler": 3}, TypeError, "sampler is int, it must be an iterable of rows with a length"),
        ({"balance": "groups"}, ValueError, "balance is 'groups', it must be 'classes' or None"),
        ({"balance": "classes"}, ValueError, "it needs shuffle=True, not shuffle=False"),
        ({"balance": "classes", "shuffle": "blocks"}, ValueError, "it needs shuffle=True, not shuffle='blocks'"),
    ],
)
def test_arguments_that_exclude_each_other_are_refused(
    photos: ImageSet, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        loader(photos, 10, **arguments)


@pytest.mark.parametrize(
    ("sampler", "error", "message"),
    [
        ([3, ROWS], IndexError, "sampler gave row 203, the dataset has 203 images"),
        ([-1], IndexError, "sampler gave row -1"),
        (BatchSampler([0, 1, 2], 2, False), TypeError, "sampler gives list, it must give rows one by one"),
        ([0.5], TypeError, "sampler gives float"),
        (Short(), ValueError, "sampler has length 5, it gave only 3 rows"),
    ],
)
def test_a_sampler_of_something_else_is_refused(
    photos: ImageSet, sampler: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        next(iter(loader(photos, 10, sampler=sampler)))


def test_a_state_of_another_order_is_refused(photos: ImageSet) -> None:
    balanced = loader(photos, 10, True, balance="classes")
    sampled = loader(photos, 10, sampler=range(ROWS))

    for one, other, named in [
        (balanced, loader(photos, 10, True), "balance None"),
        (loader(photos, 10, True), balanced, "balance 'classes'"),
        (sampled, loader(photos, 10), "sampler None"),
        (sampled, loader(photos, 10, sampler=SequentialSampler(photos)), "sampler 'SequentialSampler'"),
    ]:
        with pytest.raises(ValueError, match=named):
            one.load_state_dict(other.state_dict())


def test_a_state_from_before_samplers_still_loads(photos: ImageSet) -> None:
    batches = loader(photos, 10, True)
    new = ("balance", "sampler", "sampled", "selected")
    batches.load_state_dict({name: value for name, value in batches.state_dict().items() if name not in new})


LABELS = np.repeat([0, 1, 3, 6], [70, 1, 12, 7])


def orders(world_size: int = 1, **options: Any) -> list[BalancedOrder]:
    common: dict[str, Any] = {"shuffle": True, "labels": LABELS, "seed": 2, "world_size": world_size}
    return [BalancedOrder(len(LABELS), 8, rank=rank, **common | options) for rank in range(world_size)]


def test_each_class_comes_equally_often_in_each_epoch() -> None:
    (order,) = orders()
    for epoch in range(8):
        counts = np.bincount(LABELS[order.rows(epoch)])

        assert sorted(counts[[0, 1, 3, 6]]) == [22, 22, 23, 23]
        assert len(order.rows(epoch)) == len(LABELS)


def test_over_the_epochs_all_rows_of_a_class_come_equally_often() -> None:
    (order,) = orders()
    counts = np.bincount(np.concatenate([order.rows(epoch) for epoch in range(28)]))  # 630 rows of each class

    assert {label: set(counts[label == LABELS].tolist()) for label in set(LABELS.tolist())} == {
        0: {9},
        1: {630},
        3: {52, 53},
        6: {90},
    }


def test_a_balanced_epoch_depends_on_seed_and_epoch_alone() -> None:
    (order,), (other,) = orders(), orders(seed=3)

    assert order.rows(5).tolist() == orders()[0].rows(5).tolist()
    assert order.rows(5).tolist() != order.rows(6).tolist()
    assert order.rows(5).tolist() != other.rows(5).tolist()


def test_balanced_ranks_share_an_epoch() -> None:
    ranks = [order.rows(3) for order in orders(4)]

    assert [len(rows) for rows in ranks] == [23] * 4
    together = np.stack(ranks, axis=1).ravel()
    assert together[: len(LABELS)].tolist() == orders()[0].rows(3).tolist()


def test_a_balanced_loader_resumes(photos: ImageSet) -> None:
    first, second, whole = (loader(photos, 10, True, balance="classes", seed=1, epoch=1) for _ in range(3))
    before = rows_of(islice(first, 4))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    rest = rows_of(second)
    rows = rows_of(whole)

    assert before + rest == rows
    assert max(Counter(photos.labels[rows].tolist()).values()) == 68
    assert list(loader(ImageSet(photos.path, "test"), 10, True, balance="classes")) != []


def test_a_balanced_set_without_rows_has_no_batches(tmp_path: Path) -> None:
    write(tmp_path / "dataset.h5", counts={"train": 9, "test": 0})

    assert list(loader(ImageSet(tmp_path / "dataset.h5", "test"), 10, True, balance="classes")) == []
