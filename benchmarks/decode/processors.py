"""Whether other processors decode to the same bytes: photos decoded here, and by an emulator of an older one."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.decode.colors import LIMITS
from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import table
from benchmarks.shared.workload import read_photos
from imageset.photos import background, embeddings
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto, preprocess_photo
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.runtime import params
from tests.profiles import ADOBE_RGB, cmyk_profile, gamma_curve, gray_profile, rgb_profile

EMULATOR = "qemu-x86_64"
PROCESSORS = {
    "this one": (),
    "this one, libjpeg and NumPy without vector instructions, glibc without AVX": (),
    "Haswell: AVX2, no AVX-512": (EMULATOR, "-cpu", "Haswell"),
    "Ivy Bridge: AVX, no AVX2": (EMULATOR, "-cpu", "IvyBridge"),
}
PLAIN = {  # settings of the second run
    "JSIMD_FORCENONE": "1",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def vary(body: bytes) -> dict[str, bytes]:
    """Return a photo in each format and with each kind of profile."""
    photo = Image.open(io.BytesIO(body)).convert("RGB")
    cut = photo.convert("RGBA")
    cut.putalpha(photo.convert("L"))
    adobe = rgb_profile(ADOBE_RGB, gamma_curve(2.2))
    return {
        "JPEG as it is": body,
        "JPEG, Display P3": encode(photo, "JPEG", quality=90, icc_profile=rgb_profile()),
        "JPEG, Adobe RGB, progressive": encode(photo, "JPEG", quality=80, progressive=True, icc_profile=adobe),
        "JPEG, gray, gamma 1.8": encode(photo.convert("L"), "JPEG", icc_profile=gray_profile(1.8)),
        "JPEG, CMYK": encode(photo.convert("CMYK"), "JPEG", icc_profile=cmyk_profile()),
        "PNG, alpha, Display P3": encode(cut, "PNG", compress_level=1, icc_profile=rgb_profile()),
        "WebP, Display P3": encode(photo, "WEBP", quality=80, method=0, icc_profile=rgb_profile()),
        "WebP, alpha": encode(cut, "WEBP", quality=80, method=0),
        "GIF": encode(photo, "GIF"),
    }


def digest(body: bytes) -> str:
    """Return a hash of all that the pipeline makes of a photo without a network's help."""
    section = params.load(ROOT / "params.yaml").preprocess
    decodes = ScaledDecodes(body, LIMITS)
    made = preprocess_photo(body, section, Image.fromarray(np.indices((320, 320)).sum(axis=0).astype(np.uint8)))
    assert isinstance(made, DecodedPhoto)
    assert isinstance(made.prepared, PreparedPhoto)
    seen = (
        background.frame(decodes.decode_reduced(background.choose_reduction, "RGB"), 320).image.tobytes(),
        embeddings.make_square(decodes.decode_reduced(embeddings.choose_reduction, "RGB")).tobytes(),
        made.preview,
        made.prepared.pixels.tobytes(),
        made.prepared.thumbnail.tobytes(),
        repr((made.facts, made.prepared[2:])).encode(),
    )
    return hashlib.sha256(b"".join(seen)).hexdigest()


def decode_all(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a folder, by its name."""
    return {path.name: digest(path.read_bytes()) for path in sorted(folder.iterdir())}


def run_elsewhere(emulator: Sequence[str], environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Return what decode_all returns on another processor."""
    code = "import json, sys; from pathlib import Path; from benchmarks.decode.processors import decode_all; "
    command = [*emulator, sys.executable, "-c", code + "print(json.dumps(decode_all(Path(sys.argv[1]))))", str(folder)]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)
    hashes: dict[str, str] = json.loads(run.stdout.splitlines()[-1])
    return hashes


def print_processors(photos: Path, count: int, scratch: Path) -> None:
    """Print how many files become other bytes on each processor."""
    names: dict[str, str] = {}
    for number, body in enumerate(read_photos(photos)[:count]):
        for name, varied in vary(body).items():
            (scratch / f"{number:03} {name}").write_bytes(varied)
            names[f"{number:03} {name}"] = name
    reference = decode_all(scratch)

    def lines() -> Iterator[tuple[str, ...]]:
        for number, (processor, emulator) in enumerate(PROCESSORS.items()):
            found = run_elsewhere(emulator, PLAIN if number == 1 else {}, scratch)
            changed = sorted({names[name] for name in found if found[name] != reference[name]})
            yield (
                processor,
                str(len(found)),
                str(sum(found[name] != reference[name] for name in found)),
                ", ".join(changed),
            )

    table(("processor", "files", "with other bytes", "which"), lines())
