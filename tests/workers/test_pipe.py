"""Values on a pipe: what arrives is what was sent, and half a message counts as none."""

import os
import threading
from multiprocessing import Pipe
from typing import Any

import numpy as np
import pytest

from imageset.workers import pipe

LARGE = pipe.LARGE_BYTES


def send_and_receive(value: object) -> Any:
    ours, theirs = Pipe()
    with ours, theirs:
        sender = threading.Thread(target=pipe.send, args=(theirs, pipe.dump(value)))
        sender.start()
        found = pipe.load(pipe.receive(ours))
        sender.join()
    return found


@pytest.mark.parametrize("size", [0, 1, LARGE - 1, LARGE, 20 * LARGE + 7])
def test_arrays_of_any_size_arrive_as_they_were_and_can_be_written(size: int) -> None:
    sent = np.arange(size, dtype=np.uint8)

    found, text = send_and_receive([sent, "and a text"])

    assert text == "and a text"
    assert found.dtype == sent.dtype
    np.testing.assert_array_equal(found, sent)
    found += 1  # raises on an array that is read only


def test_several_large_arrays_keep_their_order_shape_and_dtype() -> None:
    whole = np.arange(4 * LARGE, dtype=np.int32).reshape(4, -1)
    sent = {"rows": whole, "columns": whole.T, "every other": whole[:, ::2], "bytes": bytes(2 * LARGE)}

    found = send_and_receive(sent)

    assert list(found) == list(sent)
    for name in ("rows", "columns", "every other"):
        np.testing.assert_array_equal(found[name], sent[name])
    assert found["bytes"] == sent["bytes"]


def test_large_arrays_are_not_copied_into_the_pickle() -> None:
    head, *buffers = pipe.dump([np.zeros(LARGE, np.uint8), np.zeros(LARGE - 1, np.uint8)])

    assert [buffer.nbytes for buffer in buffers] == [LARGE]
    assert LARGE - 1 < head.nbytes < LARGE + 1000


@pytest.mark.parametrize("kept", [0, 1, LARGE])
def test_a_message_that_ends_early_counts_as_none(kept: int) -> None:
    ours, theirs = Pipe()
    message = pipe.dump(np.zeros(2 * LARGE, np.uint8))
    with ours:
        with theirs:
            theirs.send([part.nbytes for part in message])
            os.write(theirs.fileno(), b"".join(message)[:kept])
        with pytest.raises(EOFError):
            pipe.receive(ours)
