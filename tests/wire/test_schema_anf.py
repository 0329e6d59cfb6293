"""The field table of anf_ir.proto against google.protobuf, with MindSpore's own file as sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindport.wire.schema_anf import DATA_TYPES, MODEL
from mindport.wire.spec import decode, encode
from wire.private_pool import message_class

GOLDEN = Path(__file__).parents[1] / "golden" / "graph_meta"


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda p: p.name)
def test_google_protobuf_reads_the_same_with_this_table(path: Path) -> None:
    data = path.read_bytes()
    theirs = message_class(MODEL).FromString(data)
    ours = decode(MODEL, memoryview(data))
    assert not ours.unknown
    assert [n.full_name for n in theirs.graph.node] == [n.full_name for n in ours.graph.node]
    assert theirs.SerializeToString(deterministic=True) == b"".join(encode(ours)) == data


def test_data_types_are_distinct() -> None:
    assert len(set(DATA_TYPES.values())) == len(DATA_TYPES)
    assert (DATA_TYPES["float32"], DATA_TYPES["bfloat16"], DATA_TYPES["tensor"]) == (11, 46, 14)
