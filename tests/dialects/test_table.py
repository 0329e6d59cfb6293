"""The operator tables: complete, consistent with what MindSpore itself says, and loaded once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mindport.dialects.table import MISSING, OpTable
from mindport.dtypes import named
from mindport.errors import UsageError


def test_tables_load_once_and_know_their_operators() -> None:
    table = OpTable.load("mindspore")
    assert table is OpTable.load("mindspore")
    assert len(table) > 1200
    assert "Conv2D" in table
    assert "Gemm" not in table
    assert len(list(OpTable.load("ge"))) == len(OpTable.load("ge")) > 1900


def test_every_row_can_be_made() -> None:
    for domain in ("mindspore", "ge"):
        table = OpTable.load(domain)
        assert all(table.row(name).name == name for name in table)


def test_a_primitive_function_has_arguments_and_no_attributes() -> None:
    row = OpTable.load("mindspore").row("BatchNorm")
    assert row.function
    assert not row.attrs
    assert [a.name for a in row.inputs][5:] == ["is_training", "epsilon", "momentum", "data_format"]
    assert row.position("epsilon") == 6
    assert row.inputs[0].default is MISSING
    assert repr(MISSING) == "MISSING"


def test_a_ge_row_keeps_kinds_defaults_and_types() -> None:
    row = OpTable.load("ge").row("ArgMaxV2")
    assert row.attrs["dtype"].default is named("int64")
    conv = OpTable.load("ge").row("Conv2D")
    assert conv.attrs["strides"].required
    assert conv.inputs[2].mode == "optional"
    assert OpTable.load("ge").row("ConcatD").inputs[0].mode == "dynamic"


@pytest.mark.parametrize("call", [lambda: OpTable.load("tensorflow"), lambda: OpTable.load("ge").row("Nope")])
def test_unknown_names_are_usage_errors(call: object) -> None:
    with pytest.raises(UsageError):
        call()  # type: ignore[operator]


def test_an_unknown_argument_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="axis"):
        OpTable.load("mindspore").row("Softmax").position("dim")


ASK = """
import json
from mindspore.ops import operations as P
p = P.Conv2D(7, (3, 5), pad_mode="pad", pad=(1, 2, 3, 4), stride=(1, 2))
print("JSON" + json.dumps({k: v for k, v in p.attrs.items() if isinstance(v, (int, str, tuple))}))
"""


@pytest.mark.mindspore
def test_the_attributes_of_a_classic_primitive_are_mindspores() -> None:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    attrs = json.loads(done.stdout.partition("JSON")[2])
    row = OpTable.load("mindspore").row("Conv2D")
    renamed = {"data_format": "format"}  # what exported files call it
    assert {renamed.get(k, k) for k in attrs} <= set(row.attrs)
    assert attrs["pad"] == [1, 2, 3, 4]
    assert attrs["stride"] == [1, 1, 1, 2]
