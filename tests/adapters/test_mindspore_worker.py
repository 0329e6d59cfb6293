"""Messages between the processes."""

from __future__ import annotations

import io

import ml_dtypes
import numpy as np
import pytest

from mindport.adapters.mindspore_worker import receive, send

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3).T,
    np.asarray(True),
    np.zeros((0, 4), np.int64),
    np.asarray([1.5, -2], ml_dtypes.bfloat16),
]


def test_arrays_arrive_as_they_were() -> None:
    stream = io.BytesIO()
    send(stream, {"path": "größe"}, ARRAYS)
    stream.seek(0)
    message = receive(stream)
    assert message is not None
    head, arrays = message
    assert head["path"] == "größe"
    for sent, got in zip(ARRAYS, arrays, strict=True):
        assert (sent.dtype, sent.shape) == (got.dtype, got.shape)
        np.testing.assert_array_equal(sent, got)
    assert receive(stream) is None


@pytest.mark.parametrize("cut", [5, -3])
def test_a_cut_off_message_is_none(cut: int) -> None:
    stream = io.BytesIO()
    send(stream, {}, ARRAYS[:1])
    assert receive(io.BytesIO(stream.getvalue()[:cut])) is None
