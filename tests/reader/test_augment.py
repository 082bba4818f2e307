"""Augment changes each image as its options say, from a loader and as a function; SciPy says what a rotation is."""

import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, label

from imageset.formats.hdf5 import Pixels
from imageset.reader import Augment, ImageSet, loader
from imageset.reader.augment import TILE_BYTES, UNIT, Draws, rotate
from tests.dataset_files import write

SHAPES = [(40, 1, 21, 30), (40, 3, 30, 21)]
every_shape = pytest.mark.parametrize("shape", SHAPES)
ALL = Augment(flip=0.5, rotate=20, shift=0.2, brightness=0.4, erase=0.5)


def draw_images(shape: tuple[int, ...]) -> torch.Tensor:
    """Return random images, channels_last as a loader has them."""
    count, channels, height, width = shape
    pixels = np.random.default_rng(channels).integers(0, 256, (count, height, width, channels), np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def apply(augment: Augment, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augment.apply(images, np.random.RandomState(seed))


@every_shape
def test_about_as_many_images_are_mirrored_as_flip_says(shape: Any) -> None:
    images = draw_images(shape)
    changed = apply(Augment(flip=0.3), images)
    mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(images, changed, strict=True)]

    assert all(flip or torch.equal(*pair) for flip, *pair in zip(mirrored, images, changed, strict=True))
    assert 5 <= sum(mirrored) <= 20
    assert torch.equal(apply(Augment(flip=1), images), images.flip(-1))
    assert torch.equal(apply(Augment(), images), images)


def moved(image: torch.Tensor, right: int, down: int) -> torch.Tensor:
    """Return an image moved by whole pixels, its edges repeated."""
    rows = (torch.arange(image.shape[1]) - down).clamp(0, image.shape[1] - 1)
    columns = (torch.arange(image.shape[2]) - right).clamp(0, image.shape[2] - 1)
    return image[:, rows][:, :, columns]


@every_shape
@pytest.mark.parametrize("flip", [0, 1])
def test_images_are_shifted_in_both_directions_and_their_edges_repeated(shape: Any, flip: int) -> None:
    images = draw_images(shape)
    seen = []
    for before, after in zip(images, apply(Augment(flip=flip, shift=0.1), images), strict=True):
        one = before.flip(-1) if flip else before
        far = [round(side * 0.1) for side in (shape[3], shape[2])]
        seen += [
            (right, down)
            for right in range(-far[0], far[0] + 1)
            for down in range(-far[1], far[1] + 1)
            if torch.equal(after, moved(one, right, down))
        ]

    assert len(seen) == len(images)
    assert {(right > 0, down > 0) for right, down in seen} == {(a, b) for a in (False, True) for b in (False, True)}


def test_an_image_may_be_shifted_out_of_the_frame() -> None:
    images = draw_images(SHAPES[0])
    changed = apply(Augment(shift=1), images, seed=1)

    assert changed.shape == images.shape
    assert not torch.equal(changed, images)


def rotated_by_scipy(pixels: Pixels, degrees: float, right: int, down: int, flip: bool) -> NDArray[np.float64]:
    """Return one channel mirrored, turned and moved, by SciPy's own arithmetic."""
    angle, centre = np.radians(degrees), (np.array(pixels.shape) - 1) / 2
    inverse = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = centre - inverse @ (centre + np.array([down, right]))
    found: NDArray[np.float64] = affine_transform(
        (pixels[:, ::-1] if flip else pixels).astype(np.float64), inverse, offset, order=1, mode="nearest"
    )
    return found


@every_shape
@pytest.mark.parametrize(("degrees", "flip"), [(30, False), (-75, True), (0, True)])
def test_images_are_rotated_as_scipy_does(shape: Any, degrees: float, flip: bool) -> None:
    pixels = draw_images(shape)[:1].permute(0, 2, 3, 1).numpy()
    none = np.zeros((1, 4), np.int64)
    draws = Draws(
        np.array([flip]),
        np.radians([degrees]),
        np.array([[3, -2]]),
        np.array([UNIT], np.uint16),
        none,
        np.zeros((1, shape[1]), np.uint8),
    )
    found = rotate(pixels, draws)[0]

    for channel in range(shape[1]):
        expected = rotated_by_scipy(pixels[0, ..., channel], degrees, 3, -2, flip)
        assert np.abs(found[..., channel] - expected).max() < 0.51


def test_angles_are_within_their_bounds_in_both_directions() -> None:
    """A line through the centre shows by which angle it was turned."""
    images = torch.zeros((60, 1, 65, 65), dtype=torch.uint8)
    images[:, :, 32] = 255
    changed = apply(Augment(rotate=20), images)[:, 0].float()
    height = (changed[:, :, 57] * torch.arange(65)).sum(1) / changed[:, :, 57].sum(1) - 32
    angles = torch.rad2deg(torch.atan(height / 25))

    assert -20.5 < angles.min() < -14
    assert 14 < angles.max() < 20.5


@every_shape
def test_brightness_multiplies_all_pixels_of_an_image(shape: Any) -> None:
    images = draw_images(shape)
    images[:5] = 255
    factors = []
    for before, after in zip(images.numpy(), apply(Augment(brightness=1), images).numpy(), strict=True):
        candidates = [
            factor
            for factor in range(2 * UNIT + 1)
            if (after == np.minimum((before.astype(int) * factor + UNIT // 2) // UNIT, 255)).all()
        ]
        factors.append(candidates[0] / UNIT)

    assert min(factors) < 0.3
    assert 1.5 < max(factors[5:]) <= 2
    assert apply(Augment(brightness=0.2), images[:5]).min() >= 203


@every_shape
def test_a_rectangle_of_one_colour_is_erased(shape: Any) -> None:
    count, _, height, width = shape
    images = draw_images(shape)
    changed = apply(Augment(erase=0.5), images)
    areas = []
    for before, after in zip(images.numpy(), changed.numpy(), strict=True):
        differs = (before != after).any(axis=0)
        if not differs.any():
            continue
        rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
        box = after[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (box == box[:, :1, :1]).all()
        assert label(differs)[1] <= 3  # a pixel that had this value by chance cuts nothing off
        areas.append(box[0].size / height / width)

    assert 10 <= len(areas) <= 30
    assert max(areas) < 0.4
    assert len(apply(Augment(erase=1), images)) == count


def test_one_option_does_not_change_what_the_others_draw() -> None:
    images = draw_images(SHAPES[1])
    flipped = apply(Augment(flip=0.5), images)

    assert torch.equal(apply(Augment(flip=0.5, erase=1e-9), images), flipped)
    both = apply(Augment(flip=0.5, erase=0.5), images)
    erased = apply(Augment(erase=0.5), images)
    untouched = [number for number in range(40) if torch.equal(images[number], erased[number])]
    assert torch.equal(both[untouched], flipped[untouched])
    assert 0 < len(untouched) < 40


def test_images_stay_as_they_are_in_any_memory_format() -> None:
    images = draw_images(SHAPES[1])
    before = images.clone()
    changed = apply(ALL, images)

    assert torch.equal(images, before)
    assert torch.equal(apply(ALL, images.contiguous()), changed)
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert changed.dtype == torch.uint8


def test_an_image_changes_alike_in_any_tile() -> None:
    side = 100
    images = torch.randint(0, 256, (2 * TILE_BYTES // side**2 + 3, 1, side, side), dtype=torch.uint8)
    moves = Augment(flip=0.5, shift=0.2, brightness=0.4, erase=0.5)
    count = len(images)
    one_by_one = torch.cat(
        [apply_one(moves, images, number) for number in (0, 1, count // 2, count - 1)],
    )

    assert torch.equal(apply(moves, images)[[0, 1, count // 2, count - 1]], one_by_one)


def apply_one(augment: Augment, images: torch.Tensor, number: int) -> torch.Tensor:
    """Return one image changed by its draws among those of the batch."""
    pixels = images.permute(0, 2, 3, 1).numpy()
    draws = augment._draw(pixels.shape, np.random.RandomState(0))
    out = np.empty_like(pixels[:1])
    augment._change(pixels[number : number + 1], Draws._make(each[number : number + 1] for each in draws), out)
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def test_called_as_a_function_it_draws_from_torchs_generator() -> None:
    images = draw_images(SHAPES[0])
    torch.manual_seed(1)
    first, second = ALL(images), ALL(images)
    torch.manual_seed(1)

    assert torch.equal(ALL(images), first)
    assert not torch.equal(first, second)
    assert ALL(images[0]).shape == images[0].shape
    assert ALL(images[:0]).shape == images[:0].shape
    assert pickle.loads(pickle.dumps(ALL)) == ALL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.1}, "flip is 1.1, it must be from 0 to 1"),
        ({"rotate": -1}, "rotate is -1, it must be from 0 to 180"),
        ({"shift": 2}, "shift is 2"),
        ({"brightness": float("nan")}, "brightness is nan"),
        ({"erase": -0.5}, "erase is -0.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augment(**options)


@pytest.mark.parametrize(("images", "found"), [(torch.zeros(2, 1, 3, 3), "torch.float32"), ({}, "dict")])
def test_what_is_no_uint8_tensor_is_refused(images: Any, found: str) -> None:
    with pytest.raises(TypeError, match=f"Augment takes images as uint8 tensors, not {found}"):
        ALL.apply(images, np.random.RandomState(0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "dataset.h5", counts={"train": 60, "test": 5})
    return tmp_path / "dataset.h5"


@pytest.mark.parametrize("shuffle", [True, "blocks"])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_loader_augments_alike_with_any_threads_with_a_transform_and_after_a_resume(
    path: Path, shuffle: Any, normalize: bool
) -> None:
    def make(**options: Any) -> Any:
        dataset = ImageSet(path, normalize=normalize, transform=options.pop("transform", None))
        return loader(dataset, 8, shuffle, seed=3, transform_batch=ALL, **options)

    first, second = make(), make()
    expected = list(make())
    before = list(islice(first, 3))
    second.load_state_dict(first.state_dict())

    for found in (list(make(threads=1)), list(make(threads=5)), list(make(transform=torch.clone)), [*before, *second]):
        assert all(torch.equal(one, other) for (one, _), (other, _) in zip(found, expected, strict=True))
    assert expected[0][0].dtype == (torch.float32 if normalize else torch.uint8)
    plain = list(loader(ImageSet(path), 8, shuffle, seed=3))
    assert torch.equal(torch.cat([labels for _, labels in plain]), torch.cat([labels for _, labels in expected]))
    assert not torch.equal(plain[0][0].float(), expected[0][0].float())


def test_epochs_batches_and_ranks_are_augmented_differently(path: Path) -> None:
    def first_of(rank: int = 0, **options: Any) -> list[Any]:
        dataset = ImageSet(path, transform=lambda image: torch.arange(36, dtype=torch.uint8).reshape(1, 6, 6))
        batches = loader(dataset, 8, rank=rank, world_size=2, transform_batch=Augment(shift=0.5), **options)
        return [images.numpy().tobytes() for images, _ in islice(batches, 2)]

    found = [*first_of(), *first_of(rank=1), *first_of(epoch=1), *first_of(seed=1)]

    assert len(set(found)) == 8
    assert first_of() == found[:2]


def test_a_loader_moves_augmented_batches_to_its_device(path: Path) -> None:
    images, _ = next(iter(loader(ImageSet(path, normalize=True), 8, device="meta", transform_batch=ALL)))

    assert (images.device.type, images.dtype) == ("meta", torch.float32)
