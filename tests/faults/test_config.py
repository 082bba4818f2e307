"""Bad params and settings: one line that names place, value and what is expected, exit code 2, and nothing is done.

Each trial runs a stage of the project as dvc.yaml does. Both servers that the stage could ask are a canary, and no file
of the project may change.
"""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.faults import projects
from tests.faults.trials import Trials
from tests.project import Project

# key, value, what the line says of it besides key and value.
VALUES = [
    ("source.limit", "0", "greater than or equal to 1"),
    ("source.limit", "ten", "valid integer"),
    ("source.photos_per_listing", "40000", "less than or equal to 32767"),
    ("source.as_of", '"yesterday"', "UTC timestamp"),
    ("source.columns", "brand", "a list"),
    ("source.columns", "[brand, brand]", "more than once"),
    ("source.group_by", '"a b"', "match"),
    ("ingest.enabled", "yes please", "true or false"),
    ("ingest.max_bytes", "-1", "greater than or equal to 1"),
    ("ingest.max_bytes", "20 MB", "valid integer"),
    ("ingest.max_pixels", "1e9", "valid integer"),
    ("ingest.formats", "[]", "more values"),
    ("ingest.formats", "[jpeg, jpeg]", "more than once"),
    ("ingest.robots", "maybe", "'ignore' or 'obey'"),
    ("ingest.max_rejected_share", "1.5", "less than or equal to 1"),
    ("ingest.max_rejected_share", ".nan", "finite"),
    ("model.name", "../u2netp", "match"),
    ("model.sha256", "abc", "match"),
    ("masks.background", "blur", "'remove' or 'keep'"),
    ("masks.side", "100", "multiple of 32"),
    ("masks.precision", "float16", "'float32', 'bfloat16' or 'int8'"),
    ("masks.device", "gpu", "'cpu' or 'cuda'"),
    ("preprocess.fill", "[255, 255]", "more values"),
    ("preprocess.fill", "[255, 255, 256]", "less than or equal to 255"),
    ("preprocess.color", "gray", "'grayscale' or 'rgb'"),
    ("preprocess.image_side", "0", "greater than or equal to 8"),
    ("preprocess.image_side", "128.5", "valid integer"),
    ("preprocess.image_side", "'128'", "valid integer"),
    ("preprocess.min_foreground", "0.995", "max_foreground at the most; they are 0.995 and 0.99"),
    ("duplicates.distance", "-1", "greater than or equal to 0"),
    ("catalog.min_photos", "0", "greater than or equal to 1"),
    ("catalog.rare", "keep", "'drop'"),
    ("split.test_share", ".inf", "finite"),
    ("split.test_share", "1.5", "less than 1"),
    ("split.seed", "null", "valid integer"),
    ("augment.copies", "0", "greater than or equal to 1"),
    ("augment.rotate_degrees", "[20.0, -20.0]", "[20.0, -20.0]: the first number has to be the lower one"),
    ("build.compression", "zip", "'none' or 'gzip'"),
    ("report.sample_photos", "0", "greater than or equal to"),
]

# The whole file changes; what the line says.
FILES: list[tuple[str, tuple[bytes, bytes], str]] = [
    ("an unknown key", (b"\n  test_share:", b"\n  test_shares: 0.1\n  test_share:"), "did you mean 'test_share'"),
    ("an unknown section", (b"\nsplit:", b"\nsplitt: {}\nsplit:"), "did you mean 'split'"),
    ("a key twice", (b"\n  test_share:", b"\n  test_share: 0.3\n  test_share:"), "given twice"),
    ("a section twice", (b"\nsplit:", b"\nbuild: {}\nsplit:"), "given twice"),
    ("a missing key", (b"\n  test_share:", b"\n  # test_share:"), "split.test_share is missing"),
    ("a section of a number", (b"\nsplit:", b"\nsplit: 7\nsplat:"), "split"),
    ("a tab", (b"\n  test_share:", b"\n\ttest_share:"), "line"),
    ("no UTF-8", (b"\n  test_share:", b"\n  \xff:"), "utf-8"),
    ("a moved key", (b"\n  fit:", b"\n  background: keep\n  fit:"), "masks.background"),
    ("a date that no calendar has", (b"\n  as_of: null", b"\n  as_of: 2026-13-45"), "2026-13-45 is no date"),
    ("an alias to nothing", (b"\n  test_share: ", b"\n  test_share: *x #"), "alias"),
]

# stage, variable, value, what the line says besides the variable. Settings with secrets are in test_secrets.py.
SETTINGS = [
    ("listings", "DATABASE_URL", "", "is not set"),
    ("listings", "DATABASE_URL", "localhost/shop", "must start with"),
    ("listings", "IMAGESET_DATABASE_SECONDS", "soon", "'soon': expected a number from 1 to"),
    ("inventory", "IMAGE_STORE", "", "is not set"),
    ("inventory", "IMAGE_STORE", "/srv/photos", "'/srv/photos': expected s3://bucket"),
    ("inventory", "IMAGE_STORE", "s3://photos/../x", "may be empty, . or .."),
    ("inventory", "AWS_ENDPOINT_URL", "localhost", "AWS_ENDPOINT_URL=https://"),
    ("ingest", "IMAGESET_ALLOWED_HOSTS", "http://a b/", "expected host or host:port"),
    ("ingest", "IMAGESET_ALLOWED_BUCKETS", "A", "'A': expected names of buckets"),
    ("ingest", "IMAGESET_ALLOWED_FOLDERS", "photos", "'photos': expected the absolute path"),
    ("ingest", "IMAGESET_USER_AGENT", "a\nb", "expected such as"),
    ("ingest", "IMAGESET_CONNECTIONS_PER_HOST", "0", "'0': expected a number from 1 to 9999"),
    ("ingest", "IMAGESET_HEADERS_FILE", "nowhere.yaml", "nowhere.yaml"),
    ("masks", "IMAGESET_OBJECTS_MB", "-1", "'-1': expected a number from 0 to 100000000"),
    ("embed", "IMAGESET_OBJECTS_MB", "2GB", "'2GB': expected a number from 0 to 100000000"),
    ("preprocess", "IMAGESET_OBJECTS_MB", "1.5", "'1.5': expected a number from 0 to 100000000"),
    ("masks", "IMAGESET_WORKERS", "-2", "'-2': expected a number from 1 to 9999"),
    ("masks", "IMAGESET_DASK", "scheduler", "'scheduler': expected the address"),
]

# name, content of .env, what the line says besides the file.
ENV_FILES = [
    (".env is not UTF-8", b"A=1\nDATABASE_URL=caf\xe9\n", "line 2 of"),
    (".env with a quote that is not closed", b"A='1\n", "line 1 of"),
    (".env with text", b"A=1\n\nto be filled in\n", "line 3 of"),
    (".env with a NUL", b"A=\0\n", "line 1 of"),
]


class Case(NamedTuple):
    """A trial: how to change params.yaml, what .env has, what to set, the stage, and what its line has to say."""

    name: str
    says: tuple[str, ...]
    stage: str = "listings"
    param: tuple[str, str] | None = None
    replace: tuple[bytes, bytes] | None = None
    setting: tuple[str, str] | None = None
    env_file: bytes | None = None


CASES = [
    *(
        Case(f"{key}: {value}", ("params.yaml", *key.split("."), says), param=(key, value))
        for key, value, says in VALUES
    ),
    *(Case(name, ("params.yaml", says), replace=change) for name, change, says in FILES),
    *(
        Case(f"{variable}={value}", (variable, says), stage, setting=(variable, value))
        for stage, variable, value, says in SETTINGS
    ),
    *(Case(name, ("/.env", says), env_file=content) for name, content, says in ENV_FILES),
]


class Canary:
    """A server that nothing may ask. It counts who does."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = 0
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.asked += 1
            connection.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.socket.close()


@pytest.fixture
def trial(project: Project, canary: Canary, tmp_path: Path) -> Project:
    """A copy of the project; its database and bucket are the canary."""
    copied = projects.copy(project, tmp_path)
    servers = {
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{canary.port}/shop",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{canary.port}",
        "IMAGESET_ALLOWED_HOSTS": f"127.0.0.1:{canary.port}",
        "IMAGESET_WORKERS": "1",
        "IMAGESET_OBJECTS_MB": "10",
    }
    return Project(copied.folder, copied.environment | servers)


def read_state(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return size, time and inode of all files, without the locks of stages."""
    skipped = (".git/", ".dvc/", "__pycache__/")
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_file() and not any(part in f"{name}/" for part in skipped) and path.suffix != ".lock":
            stat = path.stat()
            found[name] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return found


@contextmanager
def changed(project: Project, case: Case) -> Iterator[None]:
    """Change params.yaml, and write .env, for a trial."""
    path, env_file = project.folder / "params.yaml", project.folder / ".env"
    assert not env_file.exists()
    content = path.read_bytes()
    if case.param:
        project.set_param(*case.param)
    if case.replace:
        old, new = case.replace
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
    if case.env_file is not None:
        env_file.write_bytes(case.env_file)
    try:
        yield
    finally:
        path.write_bytes(content)
        env_file.unlink(missing_ok=True)


def show(value: str) -> str:
    """Return a param's value as messages show it: one that is in a list is shown alone."""
    return {"[255, 255, 256]": "256"}.get(value) or repr(yaml.safe_load(value)).strip("'")


def check(project: Project, case: Case, canary: Canary) -> None:
    """Run the stage; all that went wrong is one AssertionError."""
    command = yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"][case.stage]["cmd"]
    environment = dict([case.setting]) if case.setting else {}
    with changed(project, case):
        before, asked = read_state(project.folder), canary.asked
        done = project.run("sh", "-c", command, **environment)
        after = read_state(project.folder)
    lines = done.stderr.strip().splitlines()

    assert done.returncode == 2, (done.returncode, done.stderr[-500:])
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"{case.stage}: ")
    assert [text for text in case.says if text.lower() not in lines[0].lower()] == [], lines[0]
    if case.param:
        assert show(case.param[1]) in lines[0], lines[0]
    assert canary.asked == asked, "asked a server"
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == set()


@pytest.mark.fault("Config", "bad params and settings", "the real stage, with servers that nothing may ask")
def test_bad_params_and_settings(trial: Project, canary: Canary, trials: Trials) -> None:
    for case in trials.choose(CASES, sample=4):
        with trials.trial(case.name):
            check(trial, case, canary)


def test_the_canary_is_asked_where_nothing_is_wrong(trial: Project, canary: Canary) -> None:
    """Else a trial would prove nothing."""
    for stage in ("listings", "inventory"):
        command = yaml.safe_load((trial.folder / "dvc.yaml").read_text())["stages"][stage]["cmd"]
        asked = canary.asked
        with subprocess.Popen(["sh", "-c", command], cwd=trial.folder, env=trial.environment) as running:
            while canary.asked == asked and running.poll() is None:
                time.sleep(0.05)
            running.kill()  # it would ask again and again

        assert canary.asked > asked


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60
