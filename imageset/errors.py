"""Errors that a person can act on: one line that says what was wrong, where, and what to do."""


class ImagesetError(Exception):
    """Root of the errors that end a program with one line and no traceback."""

    exit_code = 1


class ParamsError(ImagesetError):
    """params.yaml holds something that no stage accepts."""

    exit_code = 2


class SettingsError(ImagesetError):
    """A variable of the environment or of .env is missing or malformed."""

    exit_code = 2


class ServerError(ImagesetError):
    """A server is out of reach or refuses; the message names its host and port and never a secret."""


class DataError(ImagesetError):
    """A table, a file or an answer is not what it has to be."""


class DamagedFile(DataError):
    """A file is not as it was written. Its path, and what is wrong with it, as the rest of a sentence.

    >>> str(DamagedFile("data/dataset.h5", "ends too early"))
    'data/dataset.h5 ends too early: fetch it again with `dvc pull data/dataset.h5` or build it again with `dvc repro`'
    """

    def __init__(self, path: object, what: str) -> None:
        super().__init__(path, what)  # as they are: an exception is pickled by its arguments

    def __str__(self) -> str:
        path, what = self.args
        return f"{path} {what}: fetch it again with `dvc pull {path}` or build it again with `dvc repro`"
