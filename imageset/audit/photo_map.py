"""A map of the photos: two coordinates each, so that photos that look alike are near each other. Pure.

PaCMAP (Wang, Huang, Rudin and Shaposhnik, Understanding How Dimension Reduction Tools Work, 2021), from principal
components, which are whole numbers. Its forces take sums, products, quotients and square roots alone, one after the
other. IEEE 754 defines these to the last bit, so the map does not depend on a processor's or a library's exponentials,
as those of t-SNE and UMAP do. A photo has 35 pairs, however many photos there are.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.audit.principal_axes import Components, Neighbours
from imageset.evaluation.linear_discriminant import Floats
from imageset.runtime import progress

NEAR, MIDDLE, FAR = 10, 5, 20  # pairs of each kind for a photo
CANDIDATES = 60  # nearest photos, of which NEAR are chosen
SAMPLED = 6  # photos, of which the second nearest makes a pair of the middle kind
PHASES = (100, 100, 250)  # steps
MIDDLE_WEIGHTS = (1000.0, 3.0)  # at the first step, and from the end of the first phase on
NEAR_WEIGHTS = (2.0, 3.0, 1.0)  # in each phase
RATE, DECAYS, EPSILON = 1.0, (0.9, 0.999), 1e-7  # of Adam (Kingma and Ba, 2015)
FIRST_SPREAD = 0.01  # of the map that the first two components make

PHOTOS_AT_ONCE = 4096

Pairs = NDArray[np.int32]  # (K, N): the other photo of each photo's pairs


class Forces(NamedTuple):
    """Pairs of a kind, and the force between them: weight * strength * difference / (reach + distance**2)**2."""

    pairs: Pairs
    strength: float
    reach: float


def draw_map(places: Floats, forces: Sequence[Forces]) -> Floats:
    """Return two coordinates for each photo, float64 (2, N), around (0, 0).

    Args:
        places: from `start_places`, (2, N).
        forces: from `choose_forces`. Without any, the places stay.
    """
    if not forces:
        return places
    places = FIRST_SPREAD * places
    moments = np.zeros((2, *places.shape))
    decayed = [1.0, 1.0]
    for step in progress.bar(range(sum(PHASES)), "audit: map", sum(PHASES), unit="step"):
        slopes = np.zeros(places.shape)
        for force, weight in zip(forces, weigh(step), strict=True):
            slopes += pull(places, force, weight)
        for number, (decay, values) in enumerate(zip(DECAYS, (slopes, slopes * slopes), strict=True)):
            moments[number] = decay * moments[number] + (1 - decay) * values
            decayed[number] *= decay
        mean, square = moments[0] / (1 - decayed[0]), moments[1] / (1 - decayed[1])
        places = places - RATE * mean / (np.sqrt(square) + EPSILON)
    # One photo after the other, as NumPy adds up columns: it adds up a row in parts, which is another sum.
    middle = np.ascontiguousarray(places.T).sum(axis=0) / places.shape[1]
    return np.asarray(places - middle[:, None])


def start_places(components: Components) -> Floats:
    """Return the first two components, 0 for those that are missing, divided by the deviation of the first: (2, N)."""
    places = np.zeros((2, len(components)))
    places[: min(2, components.shape[1])] = components[:, :2].T
    squares = int((components[:, :1].astype(np.int64) ** 2).sum())
    return places / np.sqrt(squares / len(components)) if squares else places


def weigh(step: int) -> tuple[float, float, float]:
    """Return the weights of near, middle and far pairs at a step."""
    first, second = PHASES[0], PHASES[0] + PHASES[1]
    if step < first:
        share = step / first
        return NEAR_WEIGHTS[0], (1 - share) * MIDDLE_WEIGHTS[0] + share * MIDDLE_WEIGHTS[1], 1.0
    return (NEAR_WEIGHTS[1], MIDDLE_WEIGHTS[1], 1.0) if step < second else (NEAR_WEIGHTS[2], 0.0, 1.0)


def choose_forces(components: Components, near: Pairs) -> tuple[Forces, ...]:
    """Return the pairs of each kind and the forces between them; none for fewer than three photos.

    Args:
        components: whole numbers, int16 (N, P); see principal_axes.py.
        near: the near pairs.
    """
    photos = len(components)
    if photos < 3:
        return ()
    random = np.random.Generator(np.random.PCG64(1))
    middle = choose_middle(components, random)
    far = draw_others(photos, min(FAR, photos - 1), random)
    return Forces(near, 20.0, 11.0), Forces(middle, 20_000.0, 10_001.0), Forces(far, -2.0, 2.0)


def measure_spread(distances: Floats) -> Floats:
    """Return the distance that is usual around each photo, (n,), of those to its nearest photos, (n, K)."""
    some = distances[:, 3:6] if distances.shape[1] >= 6 else distances
    return np.asarray(np.maximum(some.sum(axis=1), 1.0))


def choose_near(found: Iterable[Neighbours], usual: Floats, count: int) -> Pairs:
    """Return the near pairs: nearest by distance**2, divided by what is usual around both photos.

    Args:
        found: the nearest photos of all N photos, some photos at a time.
        usual: of each photo, from `measure_spread`, (N,).
        count: how many nearest photos each has, of which NEAR are chosen.
    """
    near = np.zeros((min(NEAR, count), len(usual)), np.int32)
    for rows, nearest, squares in found:
        distances = np.sqrt(squares)
        scaled = distances * distances / (usual[rows][:, None] * usual[nearest])
        order = np.argsort(scaled, axis=1, kind="stable")[:, :NEAR]
        near[:, rows] = np.take_along_axis(nearest, order, axis=1).T
    return near


def choose_middle(components: Components, random: np.random.Generator) -> Pairs:
    """Return the middle pairs: the second nearest of SAMPLED photos, MIDDLE times."""
    photos = len(components)
    found = np.zeros((MIDDLE, photos), np.int32)
    for number in range(MIDDLE):
        others = draw_others(photos, SAMPLED, random)
        for start in range(0, photos, PHOTOS_AT_ONCE):
            which = slice(start, min(start + PHOTOS_AT_ONCE, photos))
            own = components[which].astype(np.int64)
            squares = np.stack([((own - components[other]) ** 2).sum(axis=1) for other in others[:, which]])
            second = np.argsort(squares, axis=0, kind="stable")[1]
            found[number, which] = others[second, np.arange(which.start, which.stop)]
    return found


def draw_others(photos: int, count: int, random: np.random.Generator) -> Pairs:
    """Return other photos for each photo, drawn with replacement: (count, N)."""
    found = np.zeros((count, photos), np.int32)
    own = np.arange(photos)
    for row in found:  # the numbers of one draw of all rows, which takes twice the memory
        drawn = random.integers(0, photos - 1, photos)
        row[:] = drawn + (drawn >= own)
    return found


def pull(places: Floats, forces: Forces, weight: float) -> Floats:
    """Return the slope of the loss at each photo, (2, N), from pairs of one kind; a pair moves both of its photos."""
    slopes = np.zeros(places.shape)
    if not weight:
        return slopes
    for pairs in forces.pairs:
        others = pairs.astype(np.intp)  # which NumPy would make of them three times
        across, down = (values - values.take(others) for values in places)
        reach = forces.reach + across * across + down * down
        strength = weight * forces.strength / (reach * reach)
        for slope, difference in zip(slopes, (across, down), strict=True):
            force = strength * difference
            slope += force
            slope -= np.bincount(others, force, len(slope))
    return slopes
