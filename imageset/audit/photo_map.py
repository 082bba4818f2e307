"""A map of the photos: two coordinates each, so that photos that look alike are near each other. Pure.

PaCMAP (Wang, Huang, Rudin and Shaposhnik, Understanding How Dimension Reduction Tools Work, 2021), from principal
components, which are whole numbers. Its forces take sums, products, quotients and square roots alone, one after the
other. IEEE 754 defines these to the last bit, so the map does not depend on a processor's or a library's exponentials,
as those of t-SNE and UMAP do. A photo has 35 pairs, however many photos there are.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.audit.principal_axes import Components
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

Pairs = NDArray[np.int64]  # (K, N): the other photo of each photo's pairs


class Forces(NamedTuple):
    """Pairs of a kind, and the force between them: weight * strength * difference / (reach + distance**2)**2."""

    pairs: Pairs
    strength: float
    reach: float


def draw_map(components: Components, nearest: NDArray[np.int64], distances: Floats) -> Floats:
    """Return two coordinates for each photo, float64 (N, 2), around (0, 0).

    Args:
        components: whole numbers, int64 (N, P); see principal_axes.py.
        nearest: the nearest photos of each, the nearest first, int64 (N, K).
        distances: to them, (N, K).
    """
    photos = len(components)
    places = start_places(components)
    if photos < 3:
        return places
    random = np.random.Generator(np.random.PCG64(1))
    near = Forces(choose_near(nearest, distances), 20.0, 11.0)
    middle = Forces(choose_middle(components, random), 20_000.0, 10_001.0)
    far = Forces(draw_others(photos, min(FAR, photos - 1), random), -2.0, 2.0)
    places = FIRST_SPREAD * places
    moments = np.zeros((2, *places.shape))
    decayed = [1.0, 1.0]
    for step in progress.bar(range(sum(PHASES)), "audit: map", sum(PHASES), unit="step"):
        weights = weigh(step)
        slopes = np.zeros(places.shape)
        for forces, weight in zip((near, middle, far), weights, strict=True):
            slopes += pull(places, forces, weight)
        for number, (decay, values) in enumerate(zip(DECAYS, (slopes, slopes * slopes), strict=True)):
            moments[number] = decay * moments[number] + (1 - decay) * values
            decayed[number] *= decay
        mean, square = moments[0] / (1 - decayed[0]), moments[1] / (1 - decayed[1])
        places = places - RATE * mean / (np.sqrt(square) + EPSILON)
    return np.asarray(places - places.sum(axis=0) / photos)


def start_places(components: Components) -> Floats:
    """Return the first two components, 0 for those that are missing, divided by the deviation of the first."""
    places = np.zeros((len(components), 2))
    places[:, : min(2, components.shape[1])] = components[:, :2]
    squares = int((components[:, :1] ** 2).sum())
    return places / np.sqrt(squares / len(components)) if squares else places


def weigh(step: int) -> tuple[float, float, float]:
    """Return the weights of near, middle and far pairs at a step."""
    first, second = PHASES[0], PHASES[0] + PHASES[1]
    if step < first:
        share = step / first
        return NEAR_WEIGHTS[0], (1 - share) * MIDDLE_WEIGHTS[0] + share * MIDDLE_WEIGHTS[1], 1.0
    return (NEAR_WEIGHTS[1], MIDDLE_WEIGHTS[1], 1.0) if step < second else (NEAR_WEIGHTS[2], 0.0, 1.0)


def choose_near(nearest: NDArray[np.int64], distances: Floats) -> Pairs:
    """Return the near pairs: nearest by distance**2, divided by what is usual around both photos."""
    usual = np.maximum(distances[:, 3:6].sum(axis=1) if distances.shape[1] >= 6 else distances.sum(axis=1), 1.0)
    scaled = distances * distances / (usual[:, None] * usual[nearest])
    order = np.argsort(scaled, axis=1, kind="stable")[:, :NEAR]
    return np.ascontiguousarray(np.take_along_axis(nearest, order, axis=1).T)


def choose_middle(components: Components, random: np.random.Generator) -> Pairs:
    """Return the middle pairs: the second nearest of SAMPLED photos, MIDDLE times."""
    photos = len(components)
    found = np.zeros((MIDDLE, photos), np.int64)
    for number in range(MIDDLE):
        others = draw_others(photos, SAMPLED, random)
        squares = np.stack([((components - components[other]) ** 2).sum(axis=1) for other in others])
        second = np.argsort(squares, axis=0, kind="stable")[1]
        found[number] = others[second, np.arange(photos)]
    return found


def draw_others(photos: int, count: int, random: np.random.Generator) -> Pairs:
    """Return other photos for each photo, drawn with replacement: (count, N)."""
    drawn = random.integers(0, photos - 1, (count, photos))
    return np.asarray(drawn + (drawn >= np.arange(photos)))


def pull(places: Floats, forces: Forces, weight: float) -> Floats:
    """Return the slope of the loss at each photo, (N, 2), from pairs of one kind; a pair moves both of its photos."""
    slopes = np.zeros(places.shape)
    if not weight:
        return slopes
    for others in forces.pairs:
        across, down = (places - places[others]).T
        reach = forces.reach + across * across + down * down
        strength = weight * forces.strength / (reach * reach)
        for axis, difference in enumerate((across, down)):
            force = strength * difference
            slopes[:, axis] += force
            slopes[:, axis] -= np.bincount(others, force, len(places))
    return slopes
