"""Background removal with the real weights."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from imageset import background
from sandbox import draw
from tests.conftest import plain_image


def garment(number: int = 3) -> Image.Image:
    return draw.draw("t-shirt", number).resize((180, 240))


def on_plain_ground() -> tuple[Image.Image, Image.Image]:
    """A dark shirt on a light ground, and the mask it should have."""
    outline = [(60, 40), (100, 55), (140, 40), (185, 80), (165, 115), (145, 95), (145, 220), (55, 220), (55, 95),
               (35, 115), (15, 80)]
    truth = Image.new("L", (200, 260))
    ImageDraw.Draw(truth).polygon(outline, 255)
    photo = plain_image((225, 220, 210), truth.size)
    photo.paste((40, 60, 120), mask=truth)
    return photo, truth


def test_the_mask_of_a_garment_covers_it_and_little_else(weights: Path) -> None:
    photo, truth = on_plain_ground()
    mask = background.predict_mask(photo, "u2netp", weights)
    found, wanted = np.asarray(mask) > 127, np.asarray(truth) > 127

    assert (mask.mode, mask.size) == ("L", photo.size)
    assert (found & wanted).sum() / (found | wanted).sum() > 0.85


def test_the_mask_is_the_one_that_rembg_makes_with_these_weights(weights: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    mask = background.predict_mask(garment(), "u2netp", weights)
    import rembg  # after imageset.background has kept it from compiling for a minute

    monkeypatch.setenv("U2NET_HOME", str(weights.parent))
    expected = rembg.remove(garment(), session=rembg.new_session("u2netp"), only_mask=True)

    assert isinstance(expected, Image.Image)
    assert mask.tobytes() == expected.tobytes()


def test_a_mask_is_the_same_bytes_again_and_in_a_new_session(weights: Path) -> None:
    first = background.predict_mask(garment(), "u2netp", weights).tobytes()
    again = background.predict_mask(garment(), "u2netp", weights).tobytes()
    background.session.cache_clear()
    anew = background.predict_mask(garment(), "u2netp", weights).tobytes()

    assert first == again == anew
    assert first != background.predict_mask(garment(4), "u2netp", weights).tobytes()


@pytest.mark.parametrize("sides", [(1, 1), (1, 512), (512, 512)])
def test_a_mask_has_the_sides_of_its_photo(sides: tuple[int, int], weights: Path) -> None:
    assert background.predict_mask(plain_image(sides=sides), "u2netp", weights).size == sides


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_file_that_holds_no_weights_makes_no_mask(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "u2netp.onnx"
    path.write_bytes(content)

    with pytest.raises(Exception, match=r"(?i)u2netp\.onnx|model"):
        background.predict_mask(garment(), "u2netp", path)


def test_known_models_take_no_more_than_an_image() -> None:
    known = background.known_models()

    assert {"u2netp", "u2net", "isnet-general-use"} <= set(known)
    assert not {"sam", "u2net_custom"} & set(known)
