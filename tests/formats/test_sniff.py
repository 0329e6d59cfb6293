"""Each format knows its own files, and none claims another's."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mindport.formats import ckpt, npz, safetensors, sniff
from mindport.formats.registry import FORMATS
from mindport.wire.schema_ge import MODEL_DEF
from mindport.wire.schema_mindir import MODEL
from mindport.wire.spec import encode
from mindport.wire.writer import field_bytes, field_varint
from oracles.golden import FILES, FOLDER

W = {"w": np.ones((2, 3), np.float32)}


def onnx_bytes() -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [other])
    return helper.make_model(graph, ir_version=10).SerializeToString()


def torch_bytes(new: bool) -> bytes:
    out = io.BytesIO()
    torch.save({"w": torch.ones(2, 3)}, out, _use_new_zipfile_serialization=new)
    return out.getvalue()


def npz_bytes(save: Callable[..., Any] = np.savez) -> bytes:
    out = io.BytesIO()
    save(out, w=np.ones(3))
    return out.getvalue()


def joined(message: Any) -> bytes:
    return b"".join(bytes(c) for c in encode(message))


SAMPLES: list[tuple[str, bytes]] = [
    ("ckpt", b"".join(ckpt.write(W))),
    ("ckpt", b"".join(ckpt.write(W, checksums=False))),
    ("ckpt", b"".join(ckpt.write({}))),
    ("ckpt", b"".join(ckpt.write({"n" * 9000: np.ones(1)}))),
    ("ckpt", b"".join(ckpt.write(W, enc_key=bytes(16)))),
    ("safetensors", b"".join(safetensors.write(W))),
    ("npz", b"".join(npz.write(W))),
    ("npz", npz_bytes()),
    ("npz", npz_bytes(np.savez_compressed)),
    ("pt", torch_bytes(True)),
    ("pt", torch_bytes(False)),
    ("graph_meta", field_varint(1, 1) + field_bytes(4, b"\x0a\x00")),
    ("onnx", onnx_bytes()),
    ("onnx", helper.make_model(onnx.GraphProto(), ir_version=3).SerializeToString()),
    ("mindir", joined(MODEL.new(ir_version="1.1", producer_name="MindSpore"))),
    ("mindir", joined(MODEL.new(ir_version="0.1.0", producer_name="MindSpore"))),
    ("air", joined(MODEL_DEF.new(name="model", version=1, custom_version="x"))),
    ("air", joined(MODEL_DEF.new(version=1, custom_version="x"))),
    ("air", joined(MODEL_DEF.new(name="net", graph=[MODEL_DEF.fields[7].of().new(name="graph")]))),  # type: ignore[misc]
    *(("ckpt", (FOLDER / n).read_bytes()) for n in FILES if n.endswith(".ckpt") and n != "empty_file.ckpt"),
    ("safetensors", (FOLDER / "plain.safetensors").read_bytes()),
]


@pytest.mark.parametrize(("name", "data"), SAMPLES, ids=[f"{i}-{n}" for i, (n, _) in enumerate(SAMPLES)])
def test_exactly_one_format_is_surest(name: str, data: bytes) -> None:
    scores = {f.name: f.sniff(data[:4096]) for f in FORMATS}
    best = max(scores.values())
    assert best > 0
    assert [n for n, s in scores.items() if s == best] == [name], scores


@pytest.mark.parametrize("mode", ["AES-GCM", "AES-CBC", "SM4-CBC"])
def test_encrypted_files_tell_their_mode(mode: str) -> None:
    head = b"".join(ckpt.write(W, enc_key=bytes(16), enc_mode=mode))
    assert sniff.encrypted(head) == mode
    assert sniff.encrypted(head[:3]) is None


@given(
    st.binary(max_size=80)
    | st.binary(max_size=20).map(lambda b: b"\x0a" + b)
    | st.binary(max_size=9).map(b"PK".__add__)
)
def test_any_bytes_give_a_score(data: bytes) -> None:
    assert all(0 <= f.sniff(data) <= 100 for f in FORMATS)


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"import numpy\n", b"{}\n", b"# readme\n", b"\x7fELF", b"%PDF-1.7", b"GIF89a"]
)
def test_other_files_are_nobodys(text: bytes) -> None:
    assert {f.name: f.sniff(text) for f in FORMATS if f.sniff(text)} == {}
