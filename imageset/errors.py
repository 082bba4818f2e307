"""All exceptions of the project, in one hierarchy. A message is one line: what was wrong, where, what to do.

    ImagesetError
    ├── ParamsError       runtime/params.py: params.yaml has a fault. Exit code 2
    ├── SettingsError     runtime/settings.py: the environment or .env has a fault. Exit code 2
    ├── DiskError         runtime/files.py: a disk is full, is read-only, or fails
    ├── ServerError       storage/, web/, workers/: a server cannot be reached, or refuses
    ├── DataError         every stage: a table, a file or an answer is not what it has to be
    │   ├── DamagedFile   formats/, reader/, dataset/: a file is not as it was written
    │   ├── FetchFailed   reader/: a part of a file in a bucket could not be read
    │   └── FileInUse     formats/hdf5.py: another process has a file open for writing
    ├── ObjectChanged     storage/: an object was replaced or deleted after it was listed
    ├── ObjectExists      storage/bulk.py: an object with this key exists already
    ├── WorkerLost        workers/: a worker process ended before it answered
    ├── SourceFailed      stages/model.py: one source does not have the weights
    └── PhotoError        one photo fails and the stage goes on
        ├── BadUrl        web/urls.py (also a ValueError)
        ├── AddressRefused  web/address_guard.py (also an OSError)
        ├── HostGivenUp   web/host_limits.py
        ├── MalformedBody  web/connections.py
        ├── Refused       web/exchange.py, web/download.py, web/fetch_photo.py: a definite answer, with its reason code
        ├── Unreachable   web/exchange.py, web/download.py, web/fetch_photo.py: a failure that may pass
        └── Undecodable   photos/decode.py: the bytes are no photo, with its reason code

`runtime/command.py` ends a program with the message and the exit code of what reaches it. The others are caught by the
module that calls.
"""

import errno


class ImagesetError(Exception):
    """Root of all exceptions of the project: a person can act on the message, and needs no traceback."""

    exit_code = 1


class ParamsError(ImagesetError):
    """params.yaml holds something that no stage accepts."""

    exit_code = 2


class SettingsError(ImagesetError):
    """A variable of the environment or of .env is missing or malformed."""

    exit_code = 2


class DiskError(ImagesetError):
    """A disk is full, is read-only, or fails. The message names the file."""


class ServerError(ImagesetError):
    """A server cannot be reached, or refuses. The message names its host and port and never a secret."""


class DataError(ImagesetError):
    """A table, a file or an answer is not what it has to be."""


class DamagedFile(DataError):
    """A file is not as it was written.

    Args:
        path: the file.
        what: what is wrong with it, as the rest of a sentence.

    >>> str(DamagedFile("a.h5", "ends too early"))
    'a.h5 ends too early: remove it, then `dvc checkout a.h5` or `dvc pull a.h5` restores it, or `dvc repro` makes it'
    """

    def __init__(self, path: object, what: str) -> None:
        super().__init__(path, what)  # as they are: an exception is pickled by its arguments

    def __str__(self) -> str:
        path, what = self.args
        if str(path).startswith("s3://"):
            return f"{path} {what}: put it there again"
        # Removed first: dvc neither looks into a file whose size and time it knows, nor replaces one that it does not.
        restored = f"`dvc checkout {path}` or `dvc pull {path}` restores it"
        return f"{path} {what}: remove it, then {restored}, or `dvc repro` makes it"


class FetchFailed(DataError):
    """A part of a file in a bucket could not be read. The message names the file and the host, and never a secret."""


class FileInUse(DataError):
    """Another process has a file open for writing."""


class ObjectChanged(ImagesetError):
    """The object was replaced or deleted after it was listed."""


class ObjectExists(ImagesetError):
    """An object with this key exists already."""


class WorkerLost(ImagesetError):
    """The worker process ended before it answered.

    Args:
        reason: "timeout" when a deadline ended it, else "crash".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SourceFailed(ImagesetError):
    """One source does not have the weights. The message says why."""


class PhotoError(ImagesetError):
    """One photo fails. The stage goes on with the others."""


class BadUrl(PhotoError, ValueError):
    """The text is not a web URL, or it names a port of another protocol."""


class AddressRefused(PhotoError, OSError):
    """The address is neither on the public internet nor one that the settings allow."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "not a public address")


class HostGivenUp(PhotoError):
    """The host has not answered for so long that no photo waits for it any more."""


class MalformedBody(PhotoError):
    """The body of an answer breaks the rules of HTTP, such as a chunk without length."""


class Refused(PhotoError):
    """A definite answer. The message is its reason code."""


class Unreachable(PhotoError):
    """A failure that may pass. The message says where it happened and what.

    Args:
        trouble: the message.
        final: whether more attempts in this run are useless.
        reason: the photo's reason code when all attempts ended so, "" for that of hosts that fail.
        failing_host: the host, if perhaps it fails for this photo alone, such as with a 5xx; else "".
    """

    def __init__(self, trouble: str, final: bool = False, reason: str = "", failing_host: str = "") -> None:
        super().__init__(trouble)
        self.final = final
        self.reason = reason
        self.failing_host = failing_host


class Undecodable(PhotoError):
    """The bytes are not a photo.

    Args:
        reason: empty, not_an_image, format_..., too_many_pixels, truncated, damaged, undecodable
            or decoder_memory.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
