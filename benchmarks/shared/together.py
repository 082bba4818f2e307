"""Time programs that get ready one by one and then begin together."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.shared.measure import ROOT
from imageset.runtime import lifetime


def time_together(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str], stderr: int | None = None
) -> float:
    """Return the seconds from the first program's begin to the last one's end.

    Args:
        commands: each prints a line when it is ready and waits for one. It then works, and prints when it began and
            ended, in seconds of CLOCK_MONOTONIC. Lines are JSON.
        environment: of all.
        stderr: as subprocess.Popen takes it.
    """
    with ExitStack() as stack:
        children = []
        for command in commands:
            child = stack.enter_context(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    preexec_fn=lifetime.die_with_parent,
                )
            )
            stack.callback(child.kill)
            children.append(child)
        for child in children:
            hear(child)
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        begins, ends = zip(*map(hear, children), strict=True)
        for child in children:
            child.wait()
    return float(max(ends) - min(begins))


def hear(child: subprocess.Popen[str]) -> Any:
    """Return the next line that a child prints. Ends the benchmark if the child has ended."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"an engine failed: {child.args!r}")
    return json.loads(line)
