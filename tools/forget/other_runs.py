"""No stage and no dvc command may run while products are removed: it could write or fetch them again."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imageset.runtime import files, params, stage
from tools import dvc_lock


@contextmanager
def keep_away() -> Iterator[None]:
    """Hold DVC's lock of the project and the locks of all stages. A dvc command or stage that starts ends at once.

    Raises:
        ImagesetError: a dvc command or a stage runs. The message has its pid.
    """
    with ExitStack() as stack:
        stack.enter_context(dvc_lock.hold())
        for name in params.parse(Path("dvc.yaml"))["stages"]:
            stack.enter_context(files.lock(stage.LOCKS / f"{name}.lock"))
        yield
