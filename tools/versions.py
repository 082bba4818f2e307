"""Versions of the dataset: which come after which, and what to type to make one and to get one; pure."""

import re
import shlex
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from imageset.errors import ImagesetError

ARTIFACT = "dataset"  # of dvc.yaml's artifacts; DVC finds its versions by the tags that gto writes: dataset@v1.2.0
DATASET = "data/dataset.h5"
WRITTEN = ("dvc.lock", "releases", "reports")  # by a release, or by the runs that come before it
NUMBER = r"v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """Return the numbers of a version, v1.2.0. Raises ImagesetError for all else, such as v1.2, 1.2.0 or v1.02.0."""
    match = re.fullmatch(NUMBER, text)
    if match is None:
        raise ImagesetError(f"{text!r} is no version: expected vMAJOR.MINOR.PATCH, such as v1.2.0")
    return tuple(map(int, match.groups()))


def released_versions(tags: Iterable[str]) -> list[Version]:
    """Return the versions that tags name, lowest first; those taken back too, their numbers being used up.

    >>> released_versions(["dataset@v1.10.0", "dataset@v1.9.0!#2", "dataset@v2.0.0-rc.1", "model@v3.0.0", "v4.0.0"])
    [(1, 9, 0), (1, 10, 0)]
    """
    matches = (re.fullmatch(rf"{ARTIFACT}@{NUMBER}!?(#[0-9]+)?", tag) for tag in tags)
    return sorted(tuple(map(int, match.groups()[:3])) for match in matches if match)


def require_higher(version: str, tags: Iterable[str]) -> None:
    """Raise ImagesetError for a version that is not above all released ones."""
    highest = max(released_versions(tags), default=None)
    if highest is not None and parse_version(version) <= highest:
        last = "v" + ".".join(map(str, highest))
        raise ImagesetError(
            f"{version} does not come after {last}, which tag {ARTIFACT}@{last} has released: choose a higher one"
        )


def without_credentials(url: str) -> str:
    """Return the address of a repository as others may see it.

    >>> without_credentials("https://me:token@host/team/data.git"), without_credentials("ssh://git:word@host:22/data")
    ('https://host/team/data.git', 'ssh://git@host:22/data')
    >>> without_credentials("git@host:team/data.git"), without_credentials("/srv/data.git")
    ('git@host:team/data.git', '/srv/data.git')
    """
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    user, _, host = parts.netloc.rpartition("@")
    # The user of ssh is part of the address, that of https may be a token.
    kept = user.partition(":")[0] + "@" if user and "ssh" in parts.scheme else ""
    return urlunsplit((parts.scheme, kept + host, parts.path, "", ""))


def instructions(version: str, md5: str, address: str, branch: str, has_origin: bool, to_commit: bool) -> str:
    """Return what to type now, and what users of the release will type."""
    tag = f"{ARTIFACT}@{version}"
    # gto, and so `dvc artifacts get`, passes over tags that are not annotated. Atomic: no tag without its commit.
    steps = [f"git add {' '.join(WRITTEN)}", f'git commit -m "Release {tag}"'] if to_commit else []
    steps.append(f'git tag -a {tag} -m "Release {tag}"')
    if has_origin:
        steps.append(f"git push --atomic origin {shlex.quote(branch)} {tag}")
    commands = " && \\\n    ".join(steps)
    return (
        f"release: {DATASET} (md5 {md5}) is pushed, its sides and numbers are fixed. To make it {version}:\n\n"
        f"    {commands}\n\n"
        f"{'' if has_origin else 'Git has no remote named origin yet: add one, and push branch and tag. '}"
        f"Who has dvc[s3] and the AWS_* variables of the bucket gets it in any folder, in one of two ways:\n\n"
        f"    dvc get {shlex.quote(address)} {DATASET} --rev {tag}\n"
        f"    dvc artifacts get {shlex.quote(address)} {ARTIFACT} --rev {version}\n"
    )
