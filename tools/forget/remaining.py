"""What a takedown cannot reach, and the commands that remake or delete each released version that holds the product."""

import shlex
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dotenv import find_dotenv

from imageset.errors import DataError
from imageset.formats import takedowns
from imageset.runtime import dvc, progress
from tools import versions
from tools.forget import working_files

TAKEDOWNS = "corrections/takedowns.csv"
INVENTORY = "data/inventory.csv"
GARBAGE = "dvc gc --workspace --all-branches --all-tags --cloud --force"


class Release(NamedTuple):
    """A tag of a released version.

    holds: True, False, or None where only its releases/split.csv could be asked, which also names photos that had left
    the data before. can_remake: whether its code knows takedowns.
    """

    tag: str
    holds: bool | None
    can_remake: bool


def find_releases(product_ids: frozenset[int], cache: Path | None) -> list[Release]:
    """Return every released version, lowest first, with what is known of whether it holds one of the products."""
    artifact = versions.name_artifact(dvc.find_folder())
    tags = dvc.capture("git", "tag", "--list", f"{artifact}@*").split()
    by_version = {
        numbers: tag for tag in tags for numbers in versions.released_versions([tag], artifact) if "!" not in tag
    }
    named = [by_version[numbers] for numbers in sorted(by_version)]
    with progress.bar(None, "forget: released versions", len(named), unit="version") as bar:
        found = []
        for tag in named:
            can_remake = TAKEDOWNS in dvc.capture("git", "show", f"{tag}:./dvc.yaml")
            found.append(Release(tag, is_held(tag, product_ids, cache), can_remake))
            bar.update()
    return found


def is_held(tag: str, product_ids: frozenset[int], cache: Path | None) -> bool | None:
    """Return whether the data of a version holds one of the products, None where it may."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "table.csv"
        copy.write_text(dvc.capture("git", "show", f"{tag}:./{TAKEDOWNS}"), encoding="utf-8", newline="")
        try:
            open_ids = product_ids - takedowns.read(copy)
        except DataError:
            open_ids = product_ids
        if not open_ids:
            return False
        stages = working_files.parse_stages(dvc.capture("git", "show", f"{tag}:./dvc.lock"))
        md5 = next((stage.outputs[INVENTORY] for stage in stages if stage.outputs.get(INVENTORY)), None)
        inventory = working_files.locate(cache, md5) if cache and md5 else copy
        if not (cache and md5 and inventory.is_file()):
            inventory = Path(folder) / "inventory.csv"
            path = (Path(dvc.find_folder()) / INVENTORY).as_posix()  # DVC looks from the root of the repository
            get = ("get", "--quiet", ".", path, "--rev", tag, "--out", str(inventory))
            dvc.capture(sys.executable, "-m", "dvc", *get)
        if inventory.is_file():
            return working_files.holds(inventory, INVENTORY, open_ids)
        copy.write_text(dvc.capture("git", "show", f"{tag}:./releases/split.csv"), encoding="utf-8", newline="")
        return None if working_files.holds(copy, "split.csv", open_ids) else False


def with_keys(dvc_command: str) -> str:
    """Return a dvc command as a shell finds the keys of the remote: from .env where there is one, which DVC ignores."""
    file = find_dotenv(usecwd=True)
    if not file:
        return dvc_command
    elsewhere = "" if Path(file).parent == Path.cwd() else f"--file {shlex.quote(file)} "
    return f"dotenv {elsewhere}run -- {dvc_command}"


def describe_releases(releases: Iterable[Release], branch: str, has_origin: bool) -> str:
    """Return which released versions hold the product, with the commands that remake and delete them.

    Args:
        releases: from `find_releases`.
        branch: that has the takedown.
        has_origin: whether git has a remote named origin.
    """
    concerned = [release for release in releases if release.holds is not False]
    if not concerned:
        return "No released version holds it.\n"
    parts = []
    for release in concerned:
        if release.can_remake:
            remake = f"  Remake it without the product, under a number of its own:\n{remake_commands(release, branch)}"
        else:
            remake = "  It cannot be remade: its code knows no takedowns. Release a version from this branch instead.\n"
        parts.append(
            f"{release.tag} {'holds it' if release.holds else 'may hold it'}.\n{remake}"
            f"  Delete it:\n    {delete_command(release, has_origin)}\n"
        )
    return "\n".join(parts)


def remake_commands(release: Release, branch: str) -> str:
    new = f"remake-{release.tag.partition('@')[2]}"
    steps = [
        f"git switch --create {new} {release.tag}",
        f"git checkout {shlex.quote(branch)} -- {TAKEDOWNS}",
        "dvc checkout --allow-missing --force",
        "dvc repro",
        f'git add dvc.lock reports {TAKEDOWNS} && git commit -m "{release.tag} without a product that was taken down"',
        "python -m tools.release <a higher version>",
    ]
    return "".join(f"    {step}\n" for step in steps)


def delete_command(release: Release, has_origin: bool) -> str:
    delete = f"git tag --delete {release.tag}"
    return f"{delete} && git push origin --delete {release.tag}" if has_origin else delete


UNREACHABLE = """\
Not reached from here:
  clones and forks of this repository, and what people pulled, exported or trained;
  files that no stage names: exports, copies, experiments that were killed (.dvc/tmp/exps);
  other machines: their caches, those of Dask workers included. Run this command there as well;
  git's history: ids in releases/ and corrections/, pictures in reports/ that may show the product;
  the tables that say what the database says, such as data/listings.csv: delete it there, then `make refresh`;
  rows of corrections/labels.csv and corrections/exclusions.csv: edit them by hand;
  backups, logs of servers, and earlier versions of objects where the bucket of the DVC remote keeps versions.
"""
