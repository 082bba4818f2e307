"""The fingerprint of code: every change of code is another one, no change of words is, in all versions of Python."""

import platform
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

from imageset.photos import decode
from imageset.photos.embedding_recipe import identify_embeddings
from imageset.photos.file_formats import FORMATS
from imageset.photos.mask_recipe import identify_masks
from imageset.photos.pixel_cache import identify_pixels
from imageset.runtime.fingerprint import fingerprint, hash_code

CODE = b'''"""What it is for."""

import math
from pathlib import Path

LIMIT = 30.0  # seconds


class Shape:
    """A shape."""

    sides: int = 4
    """Its number of sides."""

    def area(self, width: float, *, height: float | None = None, **options: object) -> float:
        """Return the area."""
        return width * (height or 1) if width > 0 else -1.5e-3


async def names(paths: list[Path]) -> list[str]:
    with open("a") as one, open("b") as other:
        total = {**{"a": [1, None, True, 2j, b"\\x00", ...]}}
    match paths:
        case [first, *rest] if first:
            return [f"{path!r:>30}-{{}}-{total['a'][0]=}" f" and {path.name}" for path in rest]
    try:
        return [*(lambda x, /, y=1: (x, y))(paths)[::2]]
    except (OSError, ValueError) as error:
        raise LookupError("caf\\u00e9 caf\xc3\xa9" "joined") from error
'''


def test_a_sample_has_this_fingerprint_in_every_version_of_python() -> None:
    """Dask workers may run another version. This fingerprint was computed by 3.11, 3.12 and 3.13."""
    assert hash_code(CODE) == "a626a53a7fa86d9b36dd84d8a5fef40c"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"What it is for.", b"What it was for."),
        (b'"""What it is for."""\n', b""),
        (b'    """A shape."""\n', b""),
        (
            b'"""Return the area."""',
            b'"""Return the area.\n\n        Args:\n            width: in pixels.\n        """',
        ),
        (b'    """Its number of sides."""\n', b""),
        (b"  # seconds", b""),
        (b"LIMIT = 30.0", b"# Why.\n\n\nLIMIT = (\n    30.0\n)"),
        (b'"a": [1, None', b'"a": [\n            1, None'),
        (b'open("a") as one, open("b") as other', b"(open('a') as one, open('b') as other,)"),
        (b'" and {path.name}"', b'" and " f"{path.name}"'),
        (b"\n", b"\r\n"),
    ],
)
def test_docstrings_comments_and_formatting_leave_it_as_it_is(old: bytes, new: bytes) -> None:
    assert hash_code(CODE.replace(old, new)) == hash_code(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"30.0", b"30.5"),
        (b"30.0", b"30"),
        (b"width * ", b"width / "),
        (b"width > 0", b"width >= 0"),
        (b"-1.5e-3", b"1.5e-3"),
        (b"None, True", b"None, 1"),
        (b"None, True", b"True"),
        (b'b"', b'"'),
        (b"LIMIT = ", b"LIMITS = "),
        (b"height: float | None = None", b"height: float | None = 1"),
        (b"*, height", b"height"),
        (b"def area", b"def size"),
        (b"import math\n", b""),
        (b"{path!r:", b"{path!s:"),
        (b"\\u00e9", b"\\u00e8"),
        (b"(OSError, ValueError)", b"(OSError,)"),
        (b"        return width", b"        self.width = width\n        return width"),
        (b" from error", b""),
        (b"async def", b"def"),
        (b"[::2]", b"[:2]"),
    ],
)
def test_a_change_of_code_is_another_one(old: bytes, new: bytes) -> None:
    assert CODE.replace(old, new, 1) != CODE
    assert hash_code(CODE.replace(old, new, 1)) != hash_code(CODE)


def test_a_module_counts_by_its_code_wherever_its_package_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "decode.py"
    moved.write_bytes(Path(decode.__file__).read_bytes() + b"# a comment\n")
    elsewhere = ModuleType("other.wing.decode")
    elsewhere.__file__ = str(moved)

    assert fingerprint([elsewhere], ["numpy"]) == fingerprint([decode], ["numpy"])


def test_the_version_of_pi_heif_counts_where_heic_is_decoded() -> None:
    heif = f"pi-heif {metadata.version('pi-heif')}"
    identified = {
        some: (identify_masks("float32", "cpu", some), identify_embeddings(some), identify_pixels(some))
        for some in (FORMATS, (*FORMATS, "heic"))
    }

    assert [lines.count(heif) for lines in identified[FORMATS]] == [0, 0, 0]
    assert [lines.count(heif) for lines in identified[*FORMATS, "heic"]] == [1, 1, 1]


def test_lines_name_the_file_that_differs() -> None:
    masks, pixels = (
        [line.split()[0] for line in lines] for lines in (identify_masks("float32", "cpu"), identify_pixels())
    )
    machine = platform.machine()

    assert masks == [
        *("boxes.py", "colors.py", "decode.py", "file_formats.py", "jpeg_damage.py", "jpeg_markers.py"),
        *("png_chunks.py", "png_colors.py", "scaled_decodes.py", "stray_text.py", "webp_chunks.py", "wholeness.py"),
        *("background.py", "cut_outs.py", "engines.py", "masks.py"),
        *("numpy", "pillow", "simplejpeg", "deflate", "rembg", "openvino", machine, "openvino"),
    ]
    assert identify_masks("float32", "cpu")[-1] == "openvino float32"
    assert pixels == [
        *("boxes.py", "colors.py", "decode.py", "file_formats.py", "jpeg_damage.py", "jpeg_markers.py"),
        *("png_chunks.py", "png_colors.py", "scaled_decodes.py", "stray_text.py", "webp_chunks.py", "wholeness.py"),
        *("facts.py", "gray_and_color.py", "pixels.py", "preprocess.py", "previews.py"),
        *("numpy", "pillow", "simplejpeg", "ImageHash", "scipy", machine),
    ]
