"""Our field numbers against MindSpore's own descriptor, read in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mindport.wire import schema_mindir as schema
from mindport.wire.spec import Spec

DUMP = """
import json
from mindspore.train import mind_ir_pb2 as pb
out = {}
def walk(d):
    many = lambda f: f.is_repeated if hasattr(f, "is_repeated") else f.label == 3
    out[d.name] = {f.number: [f.name, f.type, many(f)] for f in d.fields}
    for n in d.nested_types:
        walk(n)
for d in pb.DESCRIPTOR.message_types_by_name.values():
    walk(d)
print("JSON" + json.dumps(out))
"""
# google.protobuf's field types
KINDS = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    8: "bool",
    9: "string",
    11: "message",
    12: "bytes",
    13: "uint32",
    14: "enum",
}


@pytest.mark.mindspore
def test_field_numbers_are_those_of_mindspore() -> None:
    done = subprocess.run([sys.executable, "-c", DUMP], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.partition("JSON")[2])
    ours = [v for v in vars(schema).values() if isinstance(v, Spec)]
    assert len(ours) >= 10
    for spec in ours:
        fields = theirs[spec.name]
        for number, f in spec.fields.items():
            name, kind, many = fields[str(number)]
            assert f.name == name, f"{spec.name} {number}"
            assert f.many == many, f"{spec.name}.{name}"
            wanted = KINDS[kind]
            assert f.kind == wanted or (wanted == "message" and f.kind == "bytes"), f"{spec.name}.{name}"
        assert len(fields) == len(spec.fields), f"{spec.name} lacks a field"
