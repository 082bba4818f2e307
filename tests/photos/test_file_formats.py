"""The first bytes of a file tell its format. Other formats are refused by name, before the rest arrives."""

import itertools
import re
import subprocess
import sys
from typing import get_args

import pytest
from PIL import features

from imageset.errors import ParamsError
from imageset.photos import file_formats
from imageset.photos.file_formats import (
    FORMATS,
    HEAD_BYTES,
    MAX_HEAD_BYTES,
    NAMES,
    PLUGINS,
    find_refusal,
    is_undecided,
    list_decodable,
    require_decoders,
    tell_format,
)
from imageset.runtime.sections import Format
from tests.faults.trials import ALL
from tests.photos.samples import BY_NAME, NO_IMAGES, OTHERS
from tests.project import ROOT

BYTE_ORDER_MARK = "SVG after a byte order mark"  # is short enough
FILES = [(name, body) for name, body in BY_NAME.items()] + list(OTHERS.values())


def test_there_is_a_file_of_every_format_and_a_plugin_of_those_that_params_may_list() -> None:
    assert sorted(BY_NAME) == sorted(NAMES)
    assert tuple(PLUGINS) == get_args(Format) == (*FORMATS, "heic")


@pytest.mark.parametrize(("name", "body"), FILES, ids=[*BY_NAME, *OTHERS])
def test_a_file_is_told_by_its_first_bytes(name: str, body: bytes) -> None:
    assert tell_format(body[:MAX_HEAD_BYTES]) == name
    assert find_refusal(body[:MAX_HEAD_BYTES], PLUGINS) == ("" if name in PLUGINS else f"format_{name}")
    assert find_refusal(body[:MAX_HEAD_BYTES], []) == f"format_{name}"


@pytest.mark.parametrize("body", NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_picture_has_no_format(body: bytes) -> None:
    assert tell_format(body[:MAX_HEAD_BYTES]) == ""
    assert find_refusal(body[:MAX_HEAD_BYTES], NAMES) == "not_an_image"


@pytest.mark.parametrize(
    "body", [*(body for _, body in FILES), *NO_IMAGES.values()], ids=[*BY_NAME, *OTHERS, *NO_IMAGES]
)
def test_a_head_is_decided_once_and_for_all(body: bytes) -> None:
    """However a body arrives, it is not refused before it is known what it is, nor for another reason then."""
    whole = body[:MAX_HEAD_BYTES]
    decided = [tell_format(body[:end]) for end in range(HEAD_BYTES, len(whole) + 1) if not is_undecided(body[:end])]

    assert set(decided) <= {tell_format(whole)}
    assert decided or len(body) < MAX_HEAD_BYTES


def test_16_bytes_decide_but_for_markup_and_general_brands() -> None:
    late = {name for name, (_, body) in OTHERS.items() if is_undecided(body[:HEAD_BYTES])}
    expected = {name for name in OTHERS if name.startswith("SVG after ") or "general brand" in name}

    assert not any(is_undecided(body[:HEAD_BYTES]) for body in BY_NAME.values())
    assert late == expected - {BYTE_ORDER_MARK}


def test_heic_is_decoded_where_it_is_listed_all_else_always() -> None:
    lists = [list(some) for count in (1, 2, 5) for some in itertools.combinations(FORMATS, count)]

    assert {list_decodable(some) for some in lists} == {FORMATS}
    assert {list_decodable([*some, "heic"]) for some in lists} == {(*FORMATS, "heic")}


def test_what_cannot_be_decoded_here_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    require_decoders(PLUGINS)
    monkeypatch.setattr(file_formats, "find_spec", lambda _: None)
    monkeypatch.setattr(features, "check", lambda _: False)

    require_decoders(["jpeg", "png", "webp", "gif"])
    with pytest.raises(ParamsError, match=r"lists heic, .*`pip install -r requirements-heif\.txt`, or remove heic$"):
        require_decoders(["jpeg", "heic"])
    with pytest.raises(ParamsError, match=r"lists avif, .*`pip install -r requirements-pixels\.txt`, or remove avif$"):
        require_decoders(["jpeg", "avif"])


def test_the_file_of_requirements_is_there_and_pins_the_package() -> None:
    assert re.search(r"^pi-heif==[\d.]+$", (ROOT / "requirements-heif.txt").read_text(), re.MULTILINE)


# Decodes photos in a process of its own, and writes the md5 of their pixels and how many threads that started.
ALONE = """
import ctypes, hashlib, os, sys
from pathlib import Path
import PIL
from imageset.photos.decode import PhotoLimits, open_image
from tests.conftest import photo_bytes
from tests.photos.samples import heic
[bundled] = (Path(PIL.__file__).parents[1] / "pillow.libs").glob("libavif*")
ctypes.CDLL(str(bundled)).dav1d_set_cpu_flags_mask(int(sys.argv[1]))
limits = PhotoLimits(1_000_000, ("avif", "heic"))
for body in [photo_bytes(number, kind="AVIF") for number in range(3)] + [heic()]:
    before = len(os.listdir("/proc/self/task"))
    image = open_image(body, limits)
    image.load()
    threads = len(os.listdir("/proc/self/task")) - before
    print(hashlib.md5(image.tobytes()).hexdigest(), threads)
"""
# Of dav1d: plain C, SSE2 to SSE4.1, AVX2 as well, all that the processor has (with AVX-512 where it has that).
SAMPLE = {"plain": 0, "all": 0xFFFFFFFF}
PROCESSORS = SAMPLE | {"SSE4.1": 7, "AVX2": 15}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and the libraries of a wheel for Linux")
@pytest.mark.sampled
def test_avif_has_the_same_pixels_on_other_processors_and_takes_one_thread() -> None:
    """As far as dav1d can be told to leave out what a processor lacks."""
    written = {}
    for name, mask in PROCESSORS.items() if ALL else SAMPLE.items():
        command = [sys.executable, "-c", ALONE, str(mask)]
        written[name] = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout

    assert len(set(written.values())) == 1, written
    assert [line.split()[1] for line in written["all"].splitlines()] == ["0"] * 4
