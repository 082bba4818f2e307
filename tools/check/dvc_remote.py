"""DVC's remote: DVC itself lists it, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator

from imageset.runtime import secret_text
from tools.check.findings import Findings
from tools.check.line import Line, ok, untried, wrong

SECONDS = 30.0
NO_KEYS = "NoCredentialsError: "  # as botocore says it
# An empty place and one that is not there look alike to DVC, but a missing bucket has a message of its own.
CODE = """
import json, logging
from dvc.repo import Repo
logging.disable()
found = {"url": "", "error": ""}
try:
    repo = Repo()
    name = repo.config["core"].get("remote")
    found["url"] = str(repo.config["remote"].get(name, {}).get("url", ""))
    remote = repo.cloud.get_remote()
    try:
        remote.fs.ls(remote.path)
    except FileNotFoundError as error:
        message = str(error)
        if "bucket" in message and remote.path not in message:
            found["error"] = message
except Exception as error:
    found["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


def check_remote(found: Findings) -> Iterator[Line]:
    """Say whether `dvc push` will find its remote."""
    line: Line = found.answers["remote"].result()
    if NO_KEYS in line.text and any("AWS_ACCESS_KEY_ID" in text for text in found.failed):
        line = untried("DVC remote", "the keys are not set, see above")
    yield line


def find_remote() -> Line:
    """Return the line of the remote."""
    remedy = "correct it with `dvc remote modify storage url s3://your-bucket/imageset`, and the AWS_* settings in .env"
    try:
        done = subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return wrong(f"DVC remote: no answer in {SECONDS:.0f} s: {remedy}")
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return wrong(f"DVC remote: DVC cannot look: {last}: {remedy}")
    url = secret_text.show_url(answer["url"])
    if answer["error"]:
        error = answer["error"].replace(answer["url"] or url, url).rstrip(".")  # its user and password are secret
        return wrong(f"DVC remote {url}: {error}: {remedy}")
    return ok(f"DVC remote: {url} answers")
