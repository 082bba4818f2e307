"""A photo decoded in the sizes that its uses need, within limits of time and memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image

from imageset.photos import colors, decode
from imageset.workers import limits

SECONDS_TO_DECODE = 30.0
BYTES_TO_DECODE = 2 << 30


class ScaledDecodes:
    """A photo in several sizes. Two uses of the same size and mode share one decode.

    Decoding that hangs ends the process by SIGALRM, as `limits.deadline` does.
    """

    def __init__(self, body: bytes, photo_limits: decode.PhotoLimits, *, known_whole: bool = False) -> None:
        """Read the header, and make sure that the photo is whole.

        Args:
            body: the photo's bytes, untrusted.
            photo_limits: which photos are accepted.
            known_whole: an earlier stage has made sure of that already.

        Raises:
            Undecodable: the bytes are no whole photo, or too large a one.
        """
        self.body = body
        self.photo_limits = photo_limits
        with limited():
            image = (decode.open_image if known_whole else decode.open_photo)(body, photo_limits)
            self.colors = colors.read_colors(image)
        self.sides: tuple[int, int] = image.size
        self.is_color_jpeg = decode.is_jpeg(image) and image.mode == "RGB"
        self.opened: Image.Image | None = image
        self.decoded: dict[tuple[int, decode.Mode], Image.Image] = {}
        self.layers: dict[int, colors.Layers] = {}

    def decode_reduced(
        self, choose_reduction: Callable[[int, int], int], mode: decode.Mode, ground: colors.Color = colors.WHITE
    ) -> Image.Image:
        """Decode the photo in a mode, its sides divided by a factor.

        Args:
            choose_reduction: from width and height to the factor.
            mode: "RGB" or "L".
            ground: what transparent pixels are put on, RGB.

        Raises:
            Undecodable: the bytes are no photo, or too large a one.
        """
        if not self.colors.is_plain:
            return colors.compose(self.decode_layers(choose_reduction), mode, ground)
        view = choose_reduction(*self.sides), mode
        if view not in self.decoded:
            with limited():
                self.decoded[view] = decode.decode_plain(self.take_image(), *view)
        return self.decoded[view]

    def decode_layers(self, choose_reduction: Callable[[int, int], int]) -> colors.Layers:
        """Decode the photo's colours and its transparency as decode_reduced does. All modes share one decode."""
        factor = choose_reduction(*self.sides)
        if factor not in self.layers:
            with limited():
                self.layers[factor] = decode.decode_layers(self.take_image(), self.body, self.colors, factor)
        return self.layers[factor]

    def take_image(self) -> Image.Image:
        """Return the photo with its header read. An image can be decoded once."""
        image, self.opened = self.opened or decode.open_image(self.body, self.photo_limits), None
        return image


@contextmanager
def limited() -> Iterator[None]:
    """Bound the time and memory of decoding, and turn what decoders raise into Undecodable."""
    with limits.deadline(SECONDS_TO_DECODE), limits.memory_limit(BYTES_TO_DECODE), decode.translate_errors():
        yield
