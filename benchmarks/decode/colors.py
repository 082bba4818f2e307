"""What an ICC profile costs: the processor time of a photo with Display P3, beside the same photo without a profile."""

import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from PIL import Image

from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import table
from imageset.photos import background, embeddings, pixels
from imageset.photos.decode import PhotoLimits, decode
from imageset.photos.preprocess import preprocess_photo
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.runtime import params
from tests.profiles import rgb_profile

LIMITS = PhotoLimits(50_000_000)
QUALITY = 90
SIZES = {"as they are": None, "1 MP": (866, 1154), "3 MP": (1500, 2000), "12 MP": (3024, 4032)}
MOST = {"as they are": 40, "1 MP": 10, "3 MP": 6, "12 MP": 3}  # photos
ChooseReduction = Callable[[int, int], int]


def encode(photo: Image.Image, profile: bytes | None) -> bytes:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=QUALITY, icc_profile=profile)
    return file.getvalue()


def decode_for(choose: ChooseReduction, body: bytes) -> Image.Image:
    """Decode a photo in colour as a stage does."""
    return ScaledDecodes(body, LIMITS).decode_reduced(choose, "RGB")


def print_costs(bodies: Sequence[bytes], turns: int) -> None:
    """Print milliseconds of a core for each photo, without and with a profile."""
    section = params.load(ROOT / "params.yaml").preprocess
    uses: dict[str, Callable[[bytes], object]] = {
        "decode whole": lambda body: decode(body, LIMITS),
        "decode for masks": partial(decode_for, background.choose_reduction),
        "decode for embed": partial(decode_for, embeddings.choose_reduction),
        "decode for preprocess": partial(decode_for, pixels.choose_hash_reduction),
        "all of preprocess": lambda body: preprocess_photo(body, section),
    }

    def lines() -> Iterator[tuple[str, ...]]:
        for size, sides in SIZES.items():
            photos = [decode(body, LIMITS) for body in bodies[: MOST[size]]]
            resized = [photo.resize(sides, Image.Resampling.BICUBIC) if sides else photo for photo in photos]
            plain, converted = ([encode(photo, profile) for photo in resized] for profile in (None, rgb_profile()))
            for name, use in uses.items():
                without, with_profile = time_each(use, plain, converted, turns)
                yield size, name, f"{without:.2f}", f"{with_profile:.2f}", f"{with_profile / without:.2f}"

    table(("photos", "step", "ms without a profile", "ms with Display P3", "times"), lines())


def time_each(
    use: Callable[[bytes], object], plain: Sequence[bytes], converted: Sequence[bytes], turns: int
) -> tuple[float, float]:
    """Return the milliseconds of a photo without and with a profile: of each photo the least of some turns, summed."""
    sums = [0.0, 0.0]
    for pair in zip(plain, converted, strict=True):
        least = [math.inf, math.inf]
        for _ in range(turns):
            for kind, body in enumerate(pair):
                begin = time.process_time()
                use(body)
                least[kind] = min(least[kind], time.process_time() - begin)
        sums = [total + one for total, one in zip(sums, least, strict=True)]
    return 1000 * sums[0] / len(plain), 1000 * sums[1] / len(plain)
