"""google.protobuf as the judge: our files are `Checkpoint` messages, and what is ours is where the page says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mindport.formats import ckpt
from mindport.wire.spec import F, Spec
from wire.private_pool import message_class

TENSOR = Spec(
    "TensorProto",
    {1: F("dims", "int64", many=True), 2: F("tensor_type", "string"), 3: F("tensor_content", "bytes")},
)
MAP = Spec("MapTensorProto", {1: F("tensor", "message", many=True, of=lambda: TENSOR)})
VALUE = Spec(
    "Value",
    {
        1: F("tag", "string"),
        2: F("tensor", "message", of=lambda: TENSOR),
        3: F("maptensor", "message", of=lambda: MAP),
    },
)
MINDSPORE = message_class(Spec("Checkpoint", {1: F("value", "message", many=True, of=lambda: VALUE)}))

# the same with the fields of mindport
OUR_TENSOR = Spec("TensorProto", TENSOR.fields | {100: F("padding", "bytes"), 101: F("checksum", "fixed64")})
OUR_VALUE = Spec("Value", VALUE.fields | {2: F("tensor", "message", of=lambda: OUR_TENSOR)})
END = Spec(
    "End",
    {
        1: F("schema", "uint32"),
        2: F("producer", "string"),
        3: F("records", "uint64"),
        4: F("info", "string"),
        5: F("digest", "bytes"),
    },
)
OURS = message_class(
    Spec(
        "Checkpoint",
        {
            1: F("value", "message", many=True, of=lambda: OUR_VALUE),
            1000: F("end", "message", of=lambda: END),
        },
    )
)

ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", "<i2", "?", "<u8"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, ARRAYS, max_size=5), st.booleans())
def test_a_reader_of_mindspores_schema_sees_every_tensor(weights: dict[str, Any], checksums: bool) -> None:
    message = MINDSPORE.FromString(b"".join(ckpt.write(weights, checksums=checksums)))
    assert [v.tag for v in message.value] == list(weights)
    for value, array in zip(message.value, weights.values(), strict=True):
        assert tuple(value.tensor.dims) == array.shape
        assert value.tensor.tensor_content == array.tobytes()


def test_the_plain_bytes_are_those_protobuf_writes() -> None:
    table = ckpt.MapTensor(np.array([1], np.int32), np.ones((1, 2), np.float32), np.zeros(1, np.int32))
    weights = {"w": np.ones((2, 300), np.float32), "s": np.array(3, np.int64), "t": table, "e": np.zeros((0, 2))}
    data = b"".join(ckpt.write(weights, checksums=False))
    assert MINDSPORE.FromString(data).SerializeToString() == data


def test_our_fields_stand_where_the_page_says() -> None:
    weights = {"w": np.ones((2, 3), np.float32), "b": np.arange(5, dtype=np.int8)}
    data = b"".join(ckpt.write(weights, info={"epoch": 2}))
    message = OURS.FromString(data)
    assert (message.end.schema, message.end.records, json.loads(message.end.info)) == (1, 2, {"epoch": 2})
    assert message.end.producer.startswith("mindport ")
    assert data.endswith(message.end.digest)
    for value in message.value:
        assert set(value.tensor.padding) <= {0}
        content_at = data.index(value.tensor.tensor_content)
        tag_at = data.index(b"\x0a\x01" + value.tag.encode())
        covered = data[tag_at : content_at + len(value.tensor.tensor_content)]
        assert value.tensor.checksum == xxhash.xxh3_64_intdigest(covered)
