"""Which photos are connected so far. Photos that were released in different subsets are never joined."""

from collections.abc import Iterable, Sequence


class UnionFind:
    """Disjoint sets of photos. A set has the subset of its released photos, "" without any.

    subsets: the released subset of each photo, "" where it has none.
    """

    def __init__(self, subsets: Sequence[str]) -> None:
        self.parents = list(range(len(subsets)))
        self.subsets = list(subsets)

    def root(self, photo: int) -> int:
        """Return the photo that represents the set of this one."""
        parents = self.parents
        while parents[photo] != photo:
            parents[photo] = parents[parents[photo]]
            photo = parents[photo]
        return photo

    def are_apart(self, one: int, other: int) -> bool:
        return self.root(one) != self.root(other)

    def join(self, one: int, other: int) -> None:
        """Join two sets, unless they have different subsets.

        These stay apart although photos of them are tied. The photo that ties them may be left out for that, and then
        it matters what else ties them.
        """
        one, other = self.root(one), self.root(other)
        subsets = {self.subsets[one], self.subsets[other]} - {""}
        if len(subsets) < 2:
            self.parents[one] = other
            self.subsets[other] = "".join(subsets)

    def join_all(self, pairs: Iterable[tuple[int, int]]) -> None:
        for one, other in pairs:
            self.join(one, other)
