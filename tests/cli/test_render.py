"""Text for people: units, alignment, and names that cannot harm a terminal."""

from __future__ import annotations

import click
import pytest

from mindport.cli import render
from mindport.environment import Capability, Dependency, Environment
from mindport.results import Check, ConversionReport, GraphInfo, Inspection, TensorInfo, ValueInfo, Verification


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (94_400_000, "94.4 MB"), (5 * 10**9, "5.0 GB"), (10**13, "10.0 TB")],
)
def test_sizes(nbytes: int, text: str) -> None:
    assert render.size(nbytes) == text


def test_tables_are_aligned() -> None:
    assert render.table(("name", "n"), [("a", "1"), ("long", "22")], right=(1,)) == "name   n\na      1\nlong  22"


def plain(text: str) -> str:
    return click.unstyle(text)


def test_inspection_of_weights() -> None:
    text = plain(
        render.inspection(
            Inspection(
                path="x\x1b[2J.ckpt",
                format="ckpt",
                title="MindSpore checkpoint",
                kind="weights",
                nbytes=300,
                tensors=(TensorInfo("evil\x1b[31m\nname", "float32", (2, 3), 24), TensorInfo("s", "int64", (), 8)),
                info={"epoch": 2, "has_checksums": True, "metrics": {"loss": 0.1234567891}},
            )
        )
    )
    assert "\x1b" not in text
    assert r"x\x1b[2J.ckpt: MindSpore checkpoint, 300 B" in text
    assert r"evil\x1b[31m\nname  float32  (2, 3)     24" in text
    assert "has checksums: yes" in text
    assert "metrics: loss=0.123457" in text
    assert text.endswith("2 tensors, 32 bytes of content")


def test_inspection_of_a_graph() -> None:
    graph = GraphInfo(
        name="net",
        producer="pytorch 2.13.0",
        opsets={"": 20, "ge": 1},
        inputs=(ValueInfo("x", "float32", ("N", 3, None)),),
        outputs=(ValueInfo("y", None, None),),
        ops={"Conv": 2, "Relu": 1},
        nodes=3,
        weights=4,
        weights_nbytes=2500,
    )
    text = plain(render.inspection(Inspection("a.onnx", "onnx", "ONNX model", "graph", 3000, graph=graph)))
    assert "operator sets: onnx 20, ge 1" in text
    assert "weights: 4 tensors, 2.5 kB" in text
    assert "input   x     float32  (N, 3, ?)" in text
    assert "output  y     ?        ?" in text
    assert "Conv          2" in text
    assert text.endswith("3 nodes")


def test_verdicts() -> None:
    checks = (Check("structure", "passed"), Check("checksums", "not proved", "the file has none"))
    good = plain(render.verification(Verification("a", "npz", "NumPy archive", "weights", 9, checks)))
    assert "ok          structure" in good
    assert "not proved  checksums: the file has none" in good
    assert good.endswith("1 check passed, 1 not proved")
    bad = ConversionReport("a", "onnx", "b", "mindir", "graph", 1, 9, 1.25, (Check("y", "failed", "off"),), ("a note",))
    text = plain(render.conversion(bad))
    assert text.startswith("a (onnx) -> b (mindir): 1 tensor, 9 B, 1.2 s")
    assert "note: a note" in text
    assert text.endswith("FAILED")


def test_environment() -> None:
    text = render.environment(
        Environment(
            mindport="0.1.0",
            python="3.11",
            platform="Linux",
            dependencies=(
                Dependency("torch", None, None, install="pip install 'mindport[torch]'"),
                Dependency("onnx", "1.2", False, "ImportError: no"),
                Dependency("numpy", "2.4", True),
            ),
            capabilities=(Capability("train", False, ("torch",)), Capability("inspect", True)),
            accelerators=(),
        )
    )
    assert "torch    -        not installed  pip install 'mindport[torch]'" in text
    assert "onnx     1.2      BROKEN         ImportError: no" in text
    assert "no   train (needs torch)" in text
    assert "yes  inspect" in text
    assert text.endswith("accelerators: none seen")
