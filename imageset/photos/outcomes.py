"""How a photo ended in a stage that reads photos: with a result, rejected, or changed since it was listed."""

from collections import Counter
from typing import NamedTuple

from imageset.errors import DataError

KEYS_TO_NAME = 5  # of objects that changed


class PhotoMask(NamedTuple):
    """A mask and what is measured on it.

    compressed: zlib's format of the mask's pixels, uint8 (S, S), 255 where the garment is, stretched over the photo.
    photo_pixels: width times height of the photo.
    foreground_share: of the photo that the mask keeps, 0 to 1.
    border_share: of the pixels at the photo's edge that it keeps, 0 to 1.
    pieces: connected parts, without specks.
    uncertainty: mean over all pixels, 0 where the network was sure, 1 where it was undecided.
    from_alpha: 1 where the photo's transparency is the mask, 0 where the network predicted it.
    """

    compressed: bytes
    photo_pixels: int
    foreground_share: float
    border_share: float
    pieces: int
    uncertainty: float
    from_alpha: int = 0


class PhotoEmbedding(NamedTuple):
    """A photo's embedding.

    values: float32 (1280,), little-endian, as bytes.
    photo_pixels: width times height of the photo.
    """

    values: bytes
    photo_pixels: int


class Rejected(NamedTuple):
    """Why a photo has no mask, no embedding or no pixels."""

    reason: str

    @property
    def is_lasting(self) -> bool:
        """Whether other runs and machines would reject the photo as well: not where memory or time ran out."""
        return not self.reason.startswith("decoder_")


class ChangedObject(NamedTuple):
    """The object of this key is not the one that the inventory lists."""

    key: str


class Outcomes:
    """What the photos of a stage became: how many are done, rejected for which reason, and changed."""

    def __init__(self) -> None:
        self.done = 0
        self.reasons: Counter[str] = Counter()
        self.changed = 0
        self.changed_keys: list[str] = []  # the first ones

    @property
    def total(self) -> int:
        """How many photos there were."""
        return self.done + self.reasons.total() + self.changed

    def add_changed(self, changed: ChangedObject) -> None:
        self.changed += 1
        if self.changed <= KEYS_TO_NAME:
            self.changed_keys.append(changed.key)

    def check(self, max_rejected_share: float, table: str) -> None:
        """Raise DataError when an object changed, when no photo is left, or when too many are rejected.

        Args:
            max_rejected_share: preprocess.max_rejected_share.
            table: the file that lists the rejected ones.
        """
        rejected, counts = self.reasons.total(), self.tally()
        if self.changed:
            hint = " (all of them: does IMAGE_STORE name its bucket?)" if self.changed == self.total else ""
            raise DataError(
                f"{self.changed} objects changed since the inventory, such as "
                f"{', '.join(self.changed_keys)}{hint}: run `make refresh`"
            )
        if not self.done:
            raise DataError(f"none of {self.total} photos is left ({counts}): {self.suggest_cause()}")
        if rejected > max_rejected_share * self.total:
            raise DataError(
                f"{rejected} of {self.total} photos are rejected ({counts}): more than "
                f"preprocess.max_rejected_share = {max_rejected_share}; set it to 1 to go on and see them in {table}"
            )

    def tally(self) -> str:
        """Return how often each reason occurs."""
        from imageset.formats import tables  # here, as workers do without pandas: 0.25 s of their start

        return tables.tally(self.reasons.elements())

    def suggest_cause(self) -> str:
        """Return where to look when no photo is left, by the most frequent reason."""
        reason = max(self.reasons, key=self.reasons.__getitem__, default="")
        if reason.startswith("format_"):
            return "see ingest.formats in params.yaml"
        if reason.startswith(("too_", "extreme_", "mask_")):
            return "see the limits of section preprocess in params.yaml"
        return "does IMAGE_STORE name the right bucket?"

    def suggest_retry(self, stage: str) -> str:
        """Return how to retry photos that may be good: memory may have been short, or the machine suspended."""
        if not any(reason.startswith("decoder_") for reason in self.reasons):
            return ""
        return f"; decoder_* may be temporary: `dvc repro --force --single-item {stage}` tries these photos again"
