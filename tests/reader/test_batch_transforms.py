"""A transform of batches gets uint8 on the device and draws the same after a resume; a used loader pickles small."""

import pickle
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import RandomSampler

from imageset.reader import ImageSet, loader
from tests.dataset_files import SIDE, write

ROWS = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "dataset.h5", counts={"train": ROWS, "test": 5})
    return tmp_path / "dataset.h5"


def add_noise(images: torch.Tensor) -> torch.Tensor:
    return images ^ torch.randint(0, 256, (len(images), 1, 1, 1), dtype=torch.uint8)


def test_it_gets_whole_batches_as_they_are_in_the_file(path: Path) -> None:
    plain, seen = ImageSet(path), []

    def note(images: torch.Tensor) -> torch.Tensor:
        seen.append((images, threading.current_thread() is threading.main_thread()))
        return 255 - images

    dataset = ImageSet(path, normalize=True)
    batches = list(loader(dataset, 8, transform_batch=note))

    assert torch.equal(torch.cat([images for images, _ in seen]), plain[:][0])
    assert {in_loop for _, in_loop in seen} == {True}
    assert torch.equal(torch.cat([images for images, _ in batches]), dataset.normalized(255 - plain[:][0]))
    assert torch.equal(torch.cat([labels for _, labels in batches]), plain.labels)


def test_it_runs_on_the_device_after_the_transform_of_items(path: Path) -> None:
    seen = []

    def note(images: torch.Tensor) -> torch.Tensor:
        seen.append((images.device.type, images.dtype, tuple(images.shape)))
        return images

    choices: list[dict[str, Any]] = [{}, {"transform": torch.clone}]
    for options in choices:
        images, _ = next(
            iter(loader(ImageSet(path, normalize=True, **options), 8, device="meta", transform_batch=note))
        )
        assert (images.device.type, images.dtype) == ("meta", torch.float32)
    assert seen == [("meta", torch.uint8, (8, 3, SIDE, SIDE))] * 2


def test_it_may_return_anything_without_normalize_and_uint8_with_it(path: Path) -> None:
    views, _ = next(iter(loader(ImageSet(path), 8, transform_batch=lambda images: {"a": images, "b": images.float()})))

    assert views["b"].dtype == torch.float32
    with pytest.raises(TypeError, match=r"needs images as uint8 tensors, a transform made torch.float32"):
        next(iter(loader(ImageSet(path, normalize=True), 8, transform_batch=torch.Tensor.float)))


def draw(path: Path, **options: Any) -> Any:
    return loader(ImageSet(path), 8, **{"shuffle": True, "seed": 3} | options, transform_batch=add_noise)


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(images, others) for (images, _), (others, _) in zip(one, other, strict=True))


@pytest.mark.parametrize("options", [{}, {"shuffle": "blocks"}, {"shuffle": False, "sampler": range(ROWS)}])
def test_a_resumed_run_draws_the_same_whatever_the_loop_draws(path: Path, options: dict[str, Any]) -> None:
    first, second, whole = (draw(path, **options) for _ in range(3))
    torch.manual_seed(1)
    before = []
    for images, labels in islice(first, 3):
        before.append((images, labels))
        torch.rand(7)  # such as dropout
    second.load_state_dict(first.state_dict())
    torch.manual_seed(2)
    batches = list(whole)

    assert same([*before, *second], batches)
    assert same(second, whole)


def test_draws_differ_by_seed_epoch_rank_and_batch_and_leave_torchs_generator_as_it_was(path: Path) -> None:
    def first_noise(**options: Any) -> int:
        batches = loader(ImageSet(path), 8, sampler=[0] * 24, transform_batch=add_noise, **options)
        return int(next(iter(batches))[0][0, 0, 0, 1])

    before = torch.get_rng_state()
    found = {first_noise(), first_noise(seed=1), first_noise(epoch=1)}
    batches = loader(ImageSet(path), 8, sampler=[0] * 24, transform_batch=lambda images: torch.rand(4))
    (one, _), (two, _), (three, _) = batches
    ranks = [
        next(iter(loader(ImageSet(path), 8, rank=rank, world_size=2, transform_batch=lambda images: torch.rand(4))))[0]
        for rank in (0, 1)
    ]

    assert len(found) == 3
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)
    assert not torch.equal(*ranks)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_of_it_reaches_the_loop_and_gives_the_generator_back(path: Path) -> None:
    def fail(images: torch.Tensor) -> torch.Tensor:
        torch.rand(3)
        raise ArithmeticError("no")

    before, threads = torch.get_rng_state(), set(threading.enumerate())  # tests before may have left some
    with pytest.raises(ArithmeticError):
        next(iter(loader(ImageSet(path), 8, transform_batch=fail)))

    assert torch.equal(torch.get_rng_state(), before)
    assert [thread.name for thread in threading.enumerate() if thread not in threads] == []


@pytest.mark.parametrize("shuffle", [True, "blocks"])
def test_a_used_loader_pickles_no_larger_than_a_new_one_and_goes_on(path: Path, shuffle: Any) -> None:
    def make() -> Any:
        return loader(ImageSet(path, normalize=True), 8, shuffle, seed=3, transform_batch=add_noise)

    used, whole = make(), make()
    fresh = len(pickle.dumps(used))
    loop = iter(used)
    before = [next(loop) for _ in range(3)]
    pickled = pickle.dumps(used)
    other = pickle.loads(pickled)
    other.load_state_dict(used.state_dict())

    assert len(pickled) < fresh + 100 < ROWS * SIDE * SIDE * 3
    assert same([*before, *other], list(whole))
    assert same(other, list(whole))


def test_a_used_loader_with_a_sampler_and_several_sets_pickles_too(path: Path) -> None:
    dataset = ImageSet(path) + ImageSet(path, "test")
    batches = loader(dataset, 8, sampler=RandomSampler(dataset), extras=["rows"])
    rows = [rows.tolist() for *_, rows in batches]
    other = pickle.loads(pickle.dumps(batches))

    assert other.epoch == 1
    other.epoch = 0
    assert [rows.tolist() for *_, rows in other] == rows
