"""Names of checkpoints, both ways, and nothing that only looks like one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindport.checkpoint.names import Key, check_prefix, graph_meta_name, run_ordinal, run_prefix
from mindport.errors import UsageError, WrongTypeError

prefixes = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), max_size=20)


def test_the_tutorials_names() -> None:
    """`{prefix}-{epoch}_{step}.ckpt`, and the structure in `{prefix}-graph.meta`."""
    assert Key("resnet50", 2, 32).file == "resnet50-2_32.ckpt"
    assert Key.parse("resnet50-2_32.ckpt", "resnet50") == Key("resnet50", 2, 32)
    assert graph_meta_name("resnet50") == "resnet50-graph.meta"
    assert Key.parse("resnet50-graph.meta", "resnet50") is None


@given(prefix=prefixes, epoch=st.integers(0, 10**17), step=st.integers(0, 10**17))
def test_names_go_both_ways(prefix: str, epoch: int, step: int) -> None:
    key = Key(prefix, epoch, step)
    assert Key.parse(key.file, prefix) == key
    assert run_ordinal(key.file, prefix) == 1
    assert Key.parse(key.file, prefix + "x") is None
    assert Key.parse("x" + key.file, prefix) is None or prefix.startswith("x")


@pytest.mark.parametrize(
    "file",
    [
        "net10-1_1.ckpt", "net_a-1_1.ckpt", "network-1_1.ckpt", "net_2-1_1.ckpt", "Net-1_1.ckpt", "anet-1_1.ckpt",
        "net-01_1.ckpt", "net-1_01.ckpt", "net--1_1.ckpt", "net-1_-1.ckpt", "net-1.ckpt", "net-1_1_1.ckpt",
        "net-1_1.ckpt.tmp", "net-1_1.ckpt\n", "net-1_1.CKPT", "net-1_1.safetensors", "net-1_1_breakpoint.ckpt",
        "net-+1_1.ckpt", "net- 1_1.ckpt", "net-١_1.ckpt", "net-1e1_1.ckpt", "net-1_1ckpt", "net-1_1xckpt", "net.ckpt",
        "net-" + "9" * 19 + "_1.ckpt", "",
    ],
)  # fmt: skip
def test_only_exact_names_of_this_prefix_count(file: str) -> None:
    assert Key.parse(file, "net") is None


def test_a_prefix_is_text_not_a_pattern() -> None:
    assert Key.parse("n.t-1_1.ckpt", "n.t") is not None
    assert Key.parse("net-1_1.ckpt", "n.t") is None
    assert Key.parse("a[b-1_1.ckpt", "a[b") is not None
    assert Key.parse("a-1_2-3_4.ckpt", "a-1_2") == Key("a-1_2", 3, 4)
    assert Key.parse("a-1_2-3_4.ckpt", "a") is None


@pytest.mark.parametrize(
    ("file", "ordinal"),
    [
        ("net-1_1.ckpt", 1),
        ("net_2-1_1.ckpt", 2),
        ("net_17-3_4.ckpt", 17),
        ("net_1-1_1.ckpt", 1),
        ("net-1_8.safetensors", 1),
        ("net_01-1_8.ckpt", None),
        ("net_0-1_8.ckpt", None),
        ("net_a-1_1.ckpt", None),
        ("net10-1_1.ckpt", None),
        ("net_2_2-1_1.ckpt", None),
        ("net-graph.meta", None),
        ("net.ckpt", None),
        ("network-1_8.ckpt", None),
    ],
)
def test_the_number_of_a_run_is_in_its_names(file: str, ordinal: int | None) -> None:
    assert run_ordinal(file, "net") == ordinal


def test_the_third_run_is_called_3_as_the_tutorial_says() -> None:
    assert [run_prefix("resnet50", n) for n in (1, 2, 3)] == ["resnet50", "resnet50_2", "resnet50_3"]
    for n in range(1, 20):
        assert run_ordinal(Key(run_prefix("net", n), 1, 1).file, "net") == n


def test_numbers_sort_as_numbers() -> None:
    files = ["net-10_1.ckpt", "net-9_100.ckpt", "net-9_99.ckpt", "net-2_1.ckpt"]
    keys = sorted(key for file in files if (key := Key.parse(file, "net")))
    assert [key.file for key in keys] == ["net-2_1.ckpt", "net-9_99.ckpt", "net-9_100.ckpt", "net-10_1.ckpt"]


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [(3, WrongTypeError), (None, WrongTypeError), (b"net", WrongTypeError), ("a/b", UsageError), ("/", UsageError),
     ("a\0b", UsageError), ("n" * 181, UsageError), ("ä" * 91, UsageError), ("\ud800", UsageError)],
)  # fmt: skip
def test_prefixes_that_cannot_begin_a_name(prefix: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        check_prefix(prefix)
    with pytest.raises(kind):
        Key(prefix, 1, 1)


def test_prefixes_that_can() -> None:
    for prefix in ("", "a", "_", "_123", "abc.", "net 1", "网络", "n" * 180):
        assert check_prefix(prefix) == prefix


@pytest.mark.parametrize(
    ("epoch", "step", "kind"),
    [(-1, 1, UsageError), (1, -1, UsageError), (10**18, 1, UsageError), (1.0, 1, WrongTypeError),
     (True, 1, WrongTypeError), (1, "1", WrongTypeError)],
)  # fmt: skip
def test_numbers_that_are_none(epoch: Any, step: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        Key("net", epoch, step)
