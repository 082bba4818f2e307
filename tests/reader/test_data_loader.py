"""The loader returns the rows of its order in batches, for any storage, any threads, and any batches that are kept."""

import json
import os
import threading
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from imageset.errors import DataError
from imageset.reader import ImageSet, loader
from imageset.reader.row_order import RowOrder
from tests.dataset_files import SIDE, Arrays, write

ROWS = 203
ROW_BYTES = 3 * SIDE * SIDE
SMALL: dict[str, Any] = {"buffer_bytes": 50 * ROW_BYTES, "block_bytes": 8 * ROW_BYTES}
SHUFFLES = [False, True, "blocks"]

every_shuffle = pytest.mark.parametrize("shuffle", SHUFFLES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dataset.h5"


def write_rows(path: Path, **options: Any) -> Arrays:
    return write(path, counts={"train": ROWS, "test": 5}, **options)


def load(path: Path, shuffle: Any, batch_size: int = 10, **options: Any) -> Any:
    return loader(ImageSet(path), batch_size, shuffle, **SMALL | options)


def rows_of(batches: Any) -> list[int]:
    """Return the rows of batches, by the number in each image."""
    return [int(image[0, 0, 0]) for images, _ in batches for image in images]


@every_shuffle
@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("threads", [0, 1, 5])
def test_batches_are_the_rows_that_the_order_names(
    path: Path, shuffle: Any, compression: Any, channels: int, threads: int
) -> None:
    arrays = write_rows(path, channels=channels, compression=compression)
    batches = loader(ImageSet(path), 10, shuffle, seed=3, threads=threads, **SMALL)
    expected = [
        RowOrder(ROWS, 10, shuffle, 3, block_rows=24 // channels, window_rows=150 // channels).rows(epoch)
        for epoch in (0, 1)
    ]

    for epoch, rows in enumerate(expected):
        assert batches.epoch == epoch
        found = list(batches)
        assert [len(labels) for _, labels in found] == [10] * 20 + [3]
        assert len(batches) == 21
        for number, (images, labels) in enumerate(found):
            part = rows[10 * number : 10 * number + 10]
            assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
            assert (images.numpy() == arrays["train_images"][part].transpose(0, 3, 1, 2)).all()
            assert labels.tolist() == arrays["train_labels"][part].tolist()


@every_shuffle
def test_without_augmented_copies_too(path: Path, shuffle: Any) -> None:
    arrays = write_rows(path)
    batches = loader(ImageSet(path, augmented=False), 10, shuffle, **SMALL)

    assert sorted(rows_of(batches)) == np.flatnonzero(arrays["train_copies"] == 0).tolist()
    for images, labels in batches:
        assert labels.tolist() == arrays["train_labels"][rows_of([(images, labels)])].tolist()


@every_shuffle
def test_batches_may_be_kept_whole_or_in_part(path: Path, shuffle: Any) -> None:
    write_rows(path)
    batches = load(path, shuffle)
    expected = rows_of(
        batches.dataset[row] and ([batches.dataset[row][0]], 0)
        for row in RowOrder(ROWS, 10, shuffle, block_rows=8, window_rows=50).rows(1)
    )
    batches.epoch = 1
    kept = [(images[4:5], images.numpy()[0], images) for images, _ in batches]
    list(batches)

    assert [int(part[0, 0, 0, 0]) for part, _, whole in kept if len(whole) == 10] == expected[4::10]
    assert [int(array[0, 0, 0]) for _, array, _ in kept] == expected[0::10]
    assert rows_of((whole, None) for *_, whole in kept) == expected


def test_the_memory_of_deleted_batches_is_used_again(path: Path) -> None:
    write_rows(path)
    batches = load(path, True)
    addresses = {images.data_ptr() for _ in range(5) for images, _ in batches}

    assert len(addresses) <= 6  # two threads, and what waits: not 105


def saved(batches: Any) -> Any:
    """Return a loader's state after a round trip through JSON."""
    return json.loads(json.dumps(batches.state_dict()))


@every_shuffle
@pytest.mark.parametrize("done", [0, 1, 7, 20, 21])
def test_a_saved_state_continues_with_the_next_batch(path: Path, shuffle: Any, done: int) -> None:
    write_rows(path)
    first, second = load(path, shuffle, seed=5), load(path, shuffle, seed=5)
    list(first)
    before = rows_of(islice(first, done)) if done else []
    second.load_state_dict(saved(first))
    assert saved(second) == saved(first)
    rest = rows_of(second) if done < 21 else []

    assert before + rest == rows_of(load(path, shuffle, seed=5, epoch=1))
    assert second.epoch == 2
    assert rows_of(second) == rows_of(load(path, shuffle, seed=5, epoch=2))


@every_shuffle
def test_a_continued_loop_can_be_saved_and_continued_again(path: Path, shuffle: Any) -> None:
    write_rows(path)
    first, second, third = (load(path, shuffle, seed=5) for _ in range(3))
    rows = rows_of(islice(first, 4))
    second.load_state_dict(saved(first))
    iter(second)  # which takes nothing
    rows += rows_of(islice(second, 3))
    third.load_state_dict(saved(second))

    assert saved(third)["batch"] == 7
    assert rows + rows_of(third) == rows_of(load(path, shuffle, seed=5))


def test_a_loop_left_early_counts_as_an_epoch(path: Path) -> None:
    write_rows(path)
    batches = load(path, True)
    loops = [rows_of(islice(batches, 3)) for _ in range(3)]

    assert saved(batches)["batch"] == 3
    assert loops == [rows_of(islice(load(path, True, epoch=epoch), 3)) for epoch in range(3)]
    batches.epoch = 1
    assert rows_of(islice(batches, 3)) == loops[1]


def test_a_loop_that_takes_exactly_all_batches_counts_as_an_epoch(path: Path) -> None:
    write_rows(path)
    batches = load(path, True)
    for epoch in range(3):
        assert batches.epoch == epoch
        assert len([batch for _, batch in zip(range(len(batches)), batches, strict=False)]) == 21
        assert (saved(batches)["epoch"], saved(batches)["batch"]) == (epoch + 1, 0)


def test_a_state_beyond_the_epoch_is_refused(path: Path) -> None:
    write_rows(path)
    batches = load(path, True)

    with pytest.raises(ValueError, match="the state was saved at batch 21, an epoch has 21"):
        batches.load_state_dict(saved(batches) | {"batch": 21})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"batch_size": 11}, "batch_size 11, this loader has 10"),
        ({"seed": 1}, "seed 1, this loader has 0"),
        ({"shuffle": "blocks"}, "shuffle 'blocks', this loader has True"),
        ({"rank": 1, "world_size": 2}, "world_size 2"),
        ({"drop_last": True}, "drop_last True"),
    ],
)
def test_a_state_of_other_batches_is_refused(path: Path, change: dict[str, Any], named: str) -> None:
    write_rows(path)
    options: dict[str, Any] = {"shuffle": True, "batch_size": 10} | change
    state = load(path, **options).state_dict()

    with pytest.raises(ValueError, match=f"the state was saved with {named}"):
        load(path, True).load_state_dict(state)


def test_the_buffer_is_part_of_a_state_if_it_decides_the_order(path: Path) -> None:
    write_rows(path)
    load(path, True).load_state_dict(load(path, True, buffer_bytes=70 * ROW_BYTES).state_dict())

    with pytest.raises(ValueError, match=r"the state was saved with buffer_bytes \(in rows\) 70, this loader has 50"):
        load(path, "blocks").load_state_dict(load(path, "blocks", buffer_bytes=70 * ROW_BYTES).state_dict())


def test_a_state_of_other_data_is_refused(path: Path, tmp_path: Path) -> None:
    write_rows(path)
    write_rows(tmp_path / "other.h5", channels=1)

    with pytest.raises(ValueError, match="the state was saved with content_digest"):
        load(tmp_path / "other.h5", True).load_state_dict(load(path, True).state_dict())
    with pytest.raises(ValueError, match="the state was saved with content_digest None"):
        load(path, True).load_state_dict({})


@every_shuffle
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_the_rows_in_equal_batches(path: Path, shuffle: Any, drop_last: bool) -> None:
    write_rows(path)
    ranks = [[*load(path, shuffle, rank=rank, world_size=4, drop_last=drop_last)] for rank in range(4)]
    rows = sorted(row for rank in ranks for row in rows_of(rank))

    lengths = [[len(labels) for _, labels in rank] for rank in ranks]
    assert lengths == [[10] * 5 if drop_last else [10] * 5 + [1]] * 4
    assert (len(rows), len(set(rows))) == ((200, 200) if drop_last else (204, 203))


@every_shuffle
def test_normalised_batches_equal_the_items_bit_for_bit(
    path: Path, shuffle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageset.reader.gather.TILE_BYTES", 3 * ROW_BYTES)
    write_rows(path)
    plain, dataset = ImageSet(path), ImageSet(path, normalize=True)
    for images, _ in loader(dataset, 10, shuffle, **SMALL):
        rows = [round(float(image[0, 0, 0] * dataset.std[0] + dataset.mean[0])) for image in images]

        assert images.dtype == torch.float32
        assert torch.equal(images, torch.stack([dataset[row][0] for row in rows]))
        assert torch.equal(images, plain.normalized(torch.stack([plain[row][0] for row in rows])))


def test_images_are_moved_as_uint8_and_normalised_on_the_device(path: Path) -> None:
    write_rows(path)
    seen = []
    for options in ({}, {"normalize": True}, {"normalize": True, "transform": torch.clone}):
        images, labels = next(iter(loader(ImageSet(path, **options), 10, device="meta")))
        seen.append((images.device.type, labels.device.type, images.dtype, tuple(images.shape)))

    assert seen == [("meta", "meta", dtype, (10, 3, SIDE, SIDE)) for dtype in (torch.uint8, *[torch.float32] * 2)]


def test_transforms_run_in_order_in_the_thread_of_the_loop(path: Path) -> None:
    arrays = write_rows(path)
    callers = set()

    def noisy(image: torch.Tensor) -> torch.Tensor:
        callers.add(threading.current_thread())
        return image.float() + torch.rand(())

    def draw() -> torch.Tensor:
        torch.manual_seed(1)
        return torch.cat([images for images, _ in loader(ImageSet(path, transform=noisy), 10, True)])

    assert torch.equal(draw(), draw())
    assert callers == {threading.main_thread()}
    _, labels = next(iter(loader(ImageSet(path, target_transform=lambda label: (str(label), label)), 10)))
    assert list(labels[0]) == [str(label) for label in arrays["train_labels"][:10]]
    assert labels[1].tolist() == arrays["train_labels"][:10].tolist()


class Views(NamedTuple):
    image: torch.Tensor
    flat: torch.Tensor


def test_transforms_give_what_dataloader_gives(path: Path) -> None:
    write_rows(path)
    dataset = ImageSet(
        path,
        transform=lambda image: {"flipped": image.flip(-1), "views": Views(image, image.view(-1))},
        target_transform=lambda label: -label,
    )
    ours, theirs = loader(dataset, 10), DataLoader(dataset, 10)

    for (images, labels), (other, other_labels) in zip(ours, theirs, strict=True):
        assert torch.equal(labels, other_labels)
        assert torch.equal(images["flipped"], other["flipped"])
        assert type(images["views"]) is Views
        assert all(map(torch.equal, images["views"], other["views"]))
    on_meta, _ = next(iter(loader(dataset, 10, device="meta")))
    assert [view.device.type for view in on_meta["views"]] == ["meta", "meta"]
    assert type(on_meta["views"]) is Views


def test_transforms_may_be_set_later(path: Path) -> None:
    write_rows(path)
    dataset = ImageSet(path)
    batches = loader(dataset, 10)
    dataset.transform = torch.zeros_like

    assert all(not images.any() for images, _ in batches)


@every_shuffle
def test_a_read_error_reaches_the_loop(path: Path, shuffle: Any) -> None:
    write_rows(path)
    batches = load(path, shuffle)
    os.truncate(path, path.stat().st_size - 100)

    with pytest.raises(DataError, match="was written to since"):
        list(batches)


@every_shuffle
def test_a_loop_left_early_leaves_no_thread(path: Path, shuffle: Any) -> None:
    write_rows(path)
    for _ in load(path, shuffle):
        break

    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("imageset")]


@every_shuffle
def test_two_loops_over_one_loader_do_not_disturb_each_other(path: Path, shuffle: Any) -> None:
    write_rows(path)
    batches = load(path, shuffle)
    pairs = [(images.clone(), other.clone()) for (images, _), (other, _) in zip(batches, batches, strict=True)]

    for loop in (0, 1):
        rows = rows_of((pair[loop], None) for pair in pairs)
        assert rows == rows_of(load(path, shuffle, epoch=loop))


@every_shuffle
@pytest.mark.parametrize("batch_size", [24, 10**9, 10**18])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_batch_larger_than_the_set_has_all_of_it(path: Path, shuffle: Any, batch_size: int, normalize: bool) -> None:
    """And takes no more memory than the set: numpy.empty of 10**9 images fails."""
    arrays = write(path)
    dataset = ImageSet(path, normalize=normalize)
    batches = loader(dataset, batch_size, shuffle)

    for epoch in range(2):
        ((images, labels),) = batches
        rows = RowOrder(23, 10, shuffle, block_rows=23, window_rows=23).rows(epoch)
        assert labels.tolist() == arrays["train_labels"][rows].tolist()
        assert torch.equal(images, dataset[rows][0])
    assert len(batches) == 1
    assert saved(batches)["epoch"] == 2


@every_shuffle
def test_ranks_with_less_than_a_batch_have_one_each_unless_they_drop_it(path: Path, shuffle: Any) -> None:
    write(path)
    ranks = [list(loader(ImageSet(path), 100, shuffle, rank=rank, world_size=2)) for rank in (0, 1)]

    assert [[len(labels) for _, labels in rank] for rank in ranks] == [[12], [12]]
    assert set(rows_of(ranks[0] + ranks[1])) == set(range(23))
    assert list(loader(ImageSet(path), 100, shuffle, world_size=2, drop_last=True)) == []


def test_blocks_and_buffers_larger_than_the_set_take_its_memory_alone(path: Path) -> None:
    write(path)
    huge = loader(ImageSet(path), 10, "blocks", buffer_bytes=10**25, block_bytes=10**25)

    assert rows_of(huge) == rows_of(loader(ImageSet(path), 10, "blocks"))


@every_shuffle
def test_a_subset_without_rows_has_no_batches(path: Path, shuffle: Any) -> None:
    write(path, counts={"train": 9, "test": 0})

    assert list(loader(ImageSet(path, "test"), 10, shuffle, world_size=2)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, it must be 1 or more"),
        ({"seed": -1}, "seed is -1"),
        ({"rank": 2, "world_size": 2}, "rank is 2, it must be below world_size, 2"),
        ({"threads": -1}, "threads is -1"),
        ({"shuffle": "block"}, "shuffle is 'block', it must be True, False or 'blocks'"),
        ({"epoch": -1}, "epoch is -1"),
        ({"buffer_bytes": 0}, "buffer_bytes is 0"),
        ({"block_bytes": 0}, "block_bytes is 0"),
        ({"world_size": 0}, "world_size is 0"),
    ],
)
def test_arguments_out_of_range_are_refused(path: Path, arguments: dict[str, Any], message: str) -> None:
    write(path)

    with pytest.raises(ValueError, match=message):
        loader(ImageSet(path), **{"batch_size": 10} | arguments)
