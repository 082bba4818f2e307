"""Which photos are tied to which, as they are found; photos that were released on two sides are never taken as one."""

from collections.abc import Iterable, Sequence


class Forest:
    """Trees of tied photos. A tree has the side of its released photos, "" without any."""

    def __init__(self, sides: Sequence[str]) -> None:
        self.parents = list(range(len(sides)))
        self.sides = list(sides)

    def root(self, photo: int) -> int:
        """Return the photo that stands for all that this one is tied to."""
        parents = self.parents
        while parents[photo] != photo:
            parents[photo] = parents[parents[photo]]
            photo = parents[photo]
        return photo

    def apart(self, one: int, other: int) -> bool:
        return self.root(one) != self.root(other)

    def join(self, one: int, other: int) -> None:
        """Make one tree of two, but not of two sides.

        These stay apart although they are tied: through a photo that may be left out for it, and then whatever else
        ties them has to be known as well.
        """
        one, other = self.root(one), self.root(other)
        sides = {self.sides[one], self.sides[other]} - {""}
        if len(sides) < 2:
            self.parents[one] = other
            self.sides[other] = "".join(sides)

    def join_all(self, pairs: Iterable[tuple[int, int]]) -> None:
        for one, other in pairs:
            self.join(one, other)
