"""A secret is in each setting that can have one. Then the whole pipeline, DVC and the tools run, and some of them fail.

All that they leave is searched for each secret. test_secret_search.py proves that the search finds.
"""

import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from imageset.runtime import files
from sandbox.servers import Servers
from tests.conftest import execute
from tests.faults import projects
from tests.faults.projects import DVC_CACHE
from tests.faults.secret_search import Search
from tests.faults.test_rights import client
from tests.faults.test_secrets import command_lines
from tests.faults.trials import Trials
from tests.project import Project
from tools.export.format import FORMATS

ALLOW_ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
# Where docs/security.md says that signed URLs are; DVC's copies of the two tables come to them.
TABLES_WITH_URLS = ("data/listings.csv", "data/listings_rejects.csv")
PLACES_OF_URLS = (*TABLES_WITH_URLS, ".cache/ingest.sqlite")
SETTINGS = {".env", ".dvc/config.local"}  # the test writes them
PLANTED = ("signature", "user", "token", "password", "option", "sslpassword", "session", "index", "proxy")
WRONG = ("wrong password", "wrong key", "wrong remote key")


def make_key(sandbox: Servers, name: str) -> tuple[str, str]:
    """Make a user of the bucket, and return its key and secret key. Wait until the server knows them."""
    iam = client(sandbox.environment, "iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=ALLOW_ALL)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    key: tuple[str, str] = made["AccessKeyId"], made["SecretAccessKey"]
    own = sandbox.environment | {"AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]}
    for _ in range(100):
        try:
            client(own).list_buckets()
            return key
        except ClientError:
            time.sleep(0.1)
    raise AssertionError(f"the server does not know the key of {name}")


@dataclass
class Planted:
    """A project with a secret in each setting.

    Attributes:
        project: it, with its own database, photos, remote, and folders for what programs keep elsewhere.
        search: for all secrets.
        markers: the secrets, by name.
        database: the URL of the database, to be given a password.
    """

    project: Project
    search: Search
    markers: dict[str, str]
    database: str

    def run(self, *command: str, fails: str = "", where: Path | None = None, **changes: str) -> None:
        """Run a command. Assert how it ends, and that neither its output nor a command line below it has a secret.

        Args:
            command: its words.
            fails: what it says as it fails; "" where it ends well.
            where: the folder, if it is not the project's.
            changes: to its environment.
        """
        project = replace(self.project, folder=where or self.project.folder)
        with command_lines() as seen:
            ended = project.start(*command, **changes)  # a fork's command line is that of the process that forked it
        said = ended.stdout + ended.stderr
        assert self.search.in_bytes(said.encode()) == frozenset(), "in the output"
        assert bool(ended.returncode) == bool(fails), said
        assert fails in said, said
        assert seen
        assert self.search.in_bytes("\n".join(seen).encode()) == frozenset(), "in a command line"

    def database_with(self, password: str) -> str:
        options = f"options=-c%20imageset.token%3D{self.markers['option']}&sslpassword={self.markers['sslpassword']}"
        return f"{self.database.format(password)}?{options}"

    def write_remote_key(self, folder: Path, secret: str) -> None:
        """Write the key of DVC's remote to .dvc/config.local, as `dvc remote modify --local` does."""
        config = folder / ".dvc/config.local"
        url = next(line for line in config.read_text().splitlines() if "url = " in line).strip()
        keys = f"access_key_id = {self.markers['remote key id']}\n    secret_access_key = {secret}"
        config.write_text(f"['remote \"storage\"']\n    {url}\n    {keys}\n")


def plant(source: Project, sandbox: Servers, folder: Path) -> Planted:
    """Copy the project, and plant a secret in each setting that can have one."""
    markers = {name: f"q7Zr2{name.title().replace(' ', '')}Xw9Kd4" for name in (*PLANTED, *WRONG)}
    markers["key id"], markers["key"] = make_key(sandbox, f"secrets-{os.getpid()}")
    markers["remote key id"], markers["remote key"] = make_key(sandbox, f"secrets-remote-{os.getpid()}")
    markers["the servers' own"] = sandbox.environment["AWS_SECRET_ACCESS_KEY"]
    copied = projects.copy(source, folder, remote=True, database=True)
    own = copied.environment["DATABASE_URL"]
    host = sandbox.photo_url.removeprefix("http://")
    url = f"http://me:{markers['user']}@{host}/gone.jpeg?signature={markers['signature']}"
    execute(own, f"CREATE ROLE reader LOGIN PASSWORD '{markers['password']}' IN ROLE pg_read_all_data")
    execute(
        own,
        f"""UPDATE products_catalog SET image = image || '?signature={markers["signature"]}';
        UPDATE products_catalog SET image = replace(image, '//', '//me:{markers["user"]}@') WHERE product_id % 5 = 1;
        INSERT INTO products_catalog VALUES (9000001, 'gone', '{url}', now());
        INSERT INTO products_photos VALUES (9000001, 1, '{url}');""",
    )
    (folder / "headers.toml").write_text(f'["http://{host}"]\nX-Token = "{markers["token"]}"\n')
    (folder / "headers.toml").chmod(0o600)
    for name in ("home", "site"):
        (folder / name).mkdir()
    server = own.partition("@")[2]
    planted = Planted(copied, Search(markers), markers, f"postgresql://reader:{{}}@{server}")
    secret = {
        "DATABASE_URL": planted.database_with(markers["password"]),
        "AWS_ACCESS_KEY_ID": markers["key id"],
        "AWS_SECRET_ACCESS_KEY": markers["key"],
    }
    (copied.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in secret.items()))
    kept = {name: value for name, value in copied.environment.items() if name not in secret}
    open_settings = {
        "IMAGE_STORE": f"{kept['IMAGE_STORE']}-secrets-{os.getpid()}",  # empty: stage ingest fetches each photo
        "IMAGESET_HEADERS_FILE": str(folder / "headers.toml"),
        "HOME": str(folder / "home"),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "PIP_INDEX_URL": f"http://me:{markers['index']}@127.0.0.1:9/simple",
        "HTTPS_PROXY": f"http://me:{markers['proxy']}@127.0.0.1:9",
    }
    planted.project = Project(copied.folder, kept | open_settings)
    planted.write_remote_key(copied.folder, markers["remote key"])
    return planted


def run_all(planted: Planted, trials: Trials, clone: Path) -> None:
    """Run the pipeline, DVC and the tools, each as a trial."""
    python = ("python", "-m")

    def run(name: str, *command: str, **options: Any) -> None:
        with trials.trial(name):
            planted.run(*command, **options)

    run("dvc repro", "dvc", "repro", "--force")
    planted.project.commit("a run with secrets")
    run("dvc push", "dvc", "push", "--run-cache")
    planted.project.clone(clone)
    shutil.copy(planted.project.folder / ".dvc/config.local", clone / ".dvc/config.local")
    run("dvc pull", "dvc", "pull", "--run-cache", where=clone)
    run("tools.check", *python, "tools.check", "--write")
    run("tools.plan", *python, "tools.plan")
    run("tools.compare", *python, "tools.compare", "HEAD~1", "--out", "compared.md", "--html", "compared.html")
    run("tools.verify", *python, "tools.verify", "data/dataset.h5")
    for kind in FORMATS:
        run(f"tools.export, {kind}", *python, "tools.export", f"exported-{kind}", "--to", kind)


def fail_all(planted: Planted, trials: Trials, clone: Path) -> None:
    """Run commands that fail, each as a trial."""
    markers, python, force = planted.markers, ("python", "-m"), ("dvc", "repro", "--force", "--single-item")
    password = {"DATABASE_URL": planted.database_with(markers["wrong password"])}
    key = {"AWS_SECRET_ACCESS_KEY": markers["wrong key"]}
    session = {"AWS_SESSION_TOKEN": markers["session"]}
    keys = {"AWS_ACCESS_KEY_ID": markers["key id"], "AWS_SECRET_ACCESS_KEY": markers["key"]}

    def fail(name: str, fails: str, *command: str, **options: Any) -> None:
        with trials.trial(name):
            planted.run(*command, fails=fails, **options)

    # A stage that fails leaves no output, which the others read: the last one first.
    fail("inventory, session token", "AWS_", *force, "inventory", **keys, **session)
    fail("tools.check, wrong password and key", "password authentication", *python, "tools.check", **password, **key)
    fail("tools.check, session token", "AWS_", *python, "tools.check", **keys, **session)
    for stage in ("inventory", "ingest"):
        fail(f"{stage}, wrong key", "AWS_SECRET_ACCESS_KEY", *force, stage, **key)
    for stage in ("labels", "listings"):
        fail(f"{stage}, wrong password", "password authentication", *force, stage, **password)
    fail("tools.compare, no such revision", "gone", *python, "tools.compare", "gone")
    fail(
        "tools.export, another is there", "exported-numpy", *python, "tools.export", "exported-numpy", "--to", "parquet"
    )
    shutil.rmtree(clone / ".dvc/cache")
    (clone / "data/split.csv").unlink()
    planted.write_remote_key(clone, markers["wrong remote key"])
    fail("dvc pull, wrong key", "Forbidden", "dvc", "pull", "-v", where=clone)
    planted.write_remote_key(planted.project.folder, markers["wrong remote key"])
    (planted.project.folder / "data/new.csv").write_text("new\n")
    planted.project.succeed("dvc", "add", "data/new.csv")
    fail("dvc push, wrong key", "signature", "dvc", "push", "-v")


def allowed_places(project: Project, clone: Path, md5s: set[str]) -> set[str]:
    """Return the files that may have a photo's URL: those that the page names, and DVC's copies of them."""
    copies = {str(DVC_CACHE / md5[:2] / md5[2:]) for md5 in md5s}
    return {f"{each.name}/{name}" for each in (project.folder, clone) for name in (*PLACES_OF_URLS, *copies)}


def search_bucket(planted: Planted, sandbox: Servers, md5s: set[str]) -> set[tuple[str, str]]:
    """Return the objects of photos, and those of DVC but for the allowed ones, that have a secret."""
    found = set()
    remote = planted.project.succeed("dvc", "config", "remote.storage.url").strip()
    store = client(sandbox.environment)
    for url in (planted.project.environment["IMAGE_STORE"], remote):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        names = []
        for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
            names += [each["Key"] for each in page.get("Contents", ())]
        assert len(names) > 10, url
        for name in names:
            got = store.get_object(Bucket=bucket, Key=name)
            if "".join(name.split("/")[-2:]) not in md5s:
                text = repr((name, got["Metadata"], got["ResponseMetadata"]["HTTPHeaders"])).encode()
                for marker in planted.search.in_bytes(got["Body"].read()) | planted.search.in_bytes(text):
                    found.add((name, marker))
    return found


@pytest.mark.faults_only
@pytest.mark.fault(
    "Secrets",
    "a whole run, dvc push and pull, and the tools, with a secret in each setting",
    "markers, searched in all output, files, caches, git, the bucket and ps",
)
def test_a_run_keeps_no_secret(project: Project, sandbox: Servers, trials: Trials, tmp_path: Path) -> None:
    planted = plant(project, sandbox, tmp_path)
    folder, clone = planted.project.folder, tmp_path / "clone"
    run_all(planted, trials, clone)
    md5s = set()
    for name in TABLES_WITH_URLS:
        # The control: here the search must find.
        assert planted.search.in_bytes((folder / name).read_bytes()) & {"signature", "user"}, name
        md5s.add(files.md5(folder / name))
    assert planted.search.in_bytes((folder / ".cache/ingest.sqlite").read_bytes()) == {"signature", "user"}
    fail_all(planted, trials, clone)
    allowed = allowed_places(planted.project, clone, md5s)
    settings = {"headers.toml", *(f"{each.name}/{name}" for each in (folder, clone) for name in SETTINGS)}
    found = {
        (name, marker)
        for name, marker in planted.search.in_folder(tmp_path)
        if name not in settings and not (name in allowed and marker in ("signature", "user"))
    }
    found |= planted.search.in_git(folder) | planted.search.in_git(clone) | search_bucket(planted, sandbox, md5s)
    for marker in planted.markers:
        with trials.trial(f"where the {marker} is"):
            assert sorted(name for name, each in found if each == marker) == []
