"""Versions of the dataset: their order, and the commands that make one and get one."""

import re
import shlex
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from imageset.errors import ImagesetError

ARTIFACT = "dataset"  # in dvc.yaml's artifacts
DATASET = "data/dataset.h5"
RELEASE_PATHS = ("dvc.lock", "releases", "reports")  # what a release, or the run before it, writes
IN_TAGS = "[a-zA-Z0-9-_./]+"  # what gto takes for a folder in a tag
VERSION = r"v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """Return the numbers of a version such as v1.2.0. Raises ImagesetError for v1.2, 1.2.0, v1.02.0 and so on."""
    match = re.fullmatch(VERSION, text)
    if match is None:
        raise ImagesetError(f"{text!r} is not a version: expected vMAJOR.MINOR.PATCH, such as v1.2.0")
    return tuple(map(int, match.groups()))


def name_artifact(folder: str) -> str:
    """Return the artifact's name in git tags, by which DVC and gto find its versions: dataset@v1.2.0.

    Args:
        folder: that of the project in its git repository, "" for the root. Several projects may share a repository.

    >>> name_artifact(""), name_artifact("teams/shoes")
    ('dataset', 'teams/shoes=dataset')
    """
    return f"{folder}={ARTIFACT}" if folder else ARTIFACT


def require_folder(folder: str) -> None:
    """Raise ImagesetError for a folder that gto has no name for, in tags: see `name_artifact`."""
    if folder and not re.fullmatch(IN_TAGS, folder):
        raise ImagesetError(
            f"the project is in folder {folder!r} of its git repository, which DVC accepts in no tag: rename the "
            "folder to letters of English, digits, - and _, such as teams/shoes"
        )


def released_versions(tags: Iterable[str], artifact: str = ARTIFACT) -> list[Version]:
    """Return the versions that git tags name, lowest first. Withdrawn versions count: their numbers are taken.

    >>> released_versions(["dataset@v1.10.0", "dataset@v1.9.0!#2", "dataset@v2.0.0-rc.1", "model@v3.0.0", "v4.0.0"])
    [(1, 9, 0), (1, 10, 0)]
    """
    matches = (re.fullmatch(rf"{re.escape(artifact)}@{VERSION}!?(#[0-9]+)?", tag) for tag in tags)
    return sorted(tuple(map(int, match.groups()[:3])) for match in matches if match)


def require_higher(version: str, tags: Iterable[str], artifact: str = ARTIFACT) -> None:
    """Raise ImagesetError for a version that is not higher than all released ones."""
    highest = max(released_versions(tags, artifact), default=None)
    if highest is not None and parse_version(version) <= highest:
        last = "v" + ".".join(map(str, highest))
        raise ImagesetError(
            f"{version} is not higher than {last}, which tag {artifact}@{last} released: choose a higher version"
        )


def without_credentials(url: str) -> str:
    """Return the URL of a repository without passwords and tokens.

    >>> without_credentials("https://me:token@host/team/data.git"), without_credentials("ssh://git:word@host:22/data")
    ('https://host/team/data.git', 'ssh://git@host:22/data')
    >>> without_credentials("git@host:team/data.git"), without_credentials("/srv/data.git")
    ('git@host:team/data.git', '/srv/data.git')
    """
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    user, _, host = parts.netloc.rpartition("@")
    # For ssh the user is part of the address. For https it may be a token.
    kept = user.partition(":")[0] + "@" if user and "ssh" in parts.scheme else ""
    return urlunsplit((parts.scheme, kept + host, parts.path, "", ""))


def instructions(
    version: str, md5: str, address: str, branch: str, has_origin: bool, to_commit: bool, folder: str = ""
) -> str:
    """Return the commands that make the release, and those that get it.

    Args:
        version: such as v1.2.0.
        md5: of the dataset.
        address: URL or path of the git repository, as others reach it.
        branch: to push.
        has_origin: whether git has a remote named origin.
        to_commit: whether there is anything to commit.
        folder: that of the project in its git repository, "" for the root.
    """
    artifact = name_artifact(folder)
    tag = f"{artifact}@{version}"
    # Annotated: gto and `dvc artifacts get` ignore other tags. Atomic: no tag without its commit.
    paths = " ".join(RELEASE_PATHS)
    # With paths: in another folder of the repository something else may be staged.
    steps = [f"git add {paths}", f'git commit -m "Release {tag}" -- {paths}'] if to_commit else []
    steps.append(f'git tag -a {tag} -m "Release {tag}"')
    if has_origin:
        steps.append(f"git push --atomic origin {shlex.quote(branch)} {tag}")
    commands = " && \\\n    ".join(steps)
    return (
        f"release: {DATASET} (md5 {md5}) is pushed. Its subsets and labels are fixed. To make it {version}:\n\n"
        f"    {commands}\n\n"
        f"{'' if has_origin else 'Git has no remote named origin yet: add one, then push the branch and the tag. '}"
        f"With dvc[s3] and the AWS_* variables of the bucket, either of these gets it in any folder:\n\n"
        f"    dvc get {shlex.quote(address)} {'/'.join(filter(None, [folder, DATASET]))} --rev {tag}\n"
        f"    dvc artifacts get {shlex.quote(address)} {artifact.replace('=', ':')} --rev {version}\n"
    )
