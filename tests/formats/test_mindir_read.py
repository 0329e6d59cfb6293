"""What a reader of MindIR has to refuse, and calls of functions."""

from __future__ import annotations

from typing import Any

import pytest

from mindport.dialects.literals import FunctionRef, literal_of
from mindport.errors import CorruptFile, MindportError, Unsupported
from mindport.formats import mindir
from mindport.formats.mindir_attrs import message_for
from mindport.wire.schema_mindir import GRAPH, MODEL, NODE, PRIMITIVE, TENSOR, VALUE_INFO
from mindport.wire.spec import Message, encode


def node(op: str, inputs: list[str], output: str, **rest: Any) -> Message:
    return NODE.new(op_type=op, input=inputs, output=[output], name=output, **rest)


def constant(output: str, value: Any) -> Message:
    return node("Constant", [], output, attribute=[message_for("value", value)])


def graph(name: str, nodes: list[Message], inputs: list[str], output: str, **rest: Any) -> Message:
    infos = [VALUE_INFO.new(name=i, tensor=[TENSOR.new(dims=[2, -1], data_type=1)]) for i in inputs]
    return GRAPH.new(name=name, node=nodes, input=infos, output=[VALUE_INFO.new(name=output)], **rest)


PRIMITIVES = [PRIMITIVE.new(name=n, op_type=n, prim_type=k) for n, k in [("ReLU", 2), ("Switch", 1), ("Partial", 1)]]


def model(main: Message | None, *functions: Message, **rest: Any) -> Message:
    fields = {
        "producer_name": "t",
        "model_version": "2.7.0",
        "little_endian": True,
        "mind_ir_version": 3,
        "primitives": PRIMITIVES,
    }
    return MODEL.new(graph=main, functions=list(functions), **{**fields, **rest})


def load(message: Message) -> Any:
    return mindir.loads(b"".join(encode(message)))


def relu(source: str, output: str) -> Message:
    return node("REF::ReLU", [source], output)


GOOD = graph("main", [relu("x", "y")], ["x"], "y")


def test_a_minimal_file_is_read() -> None:
    loaded = load(model(GOOD))
    assert [n.op_type for n in loaded.graph] == ["ReLU"]
    assert not isinstance(loaded.graph.inputs[0].shape[1], int)


@pytest.mark.parametrize(
    ("message", "error", "says"),
    [
        (model(None), CorruptFile, "no graph"),
        (model(GOOD, mind_ir_version=99), Unsupported, "mind_ir_version 99"),
        (model(GOOD, little_endian=False), Unsupported, "big-endian"),
        (model(graph("main", [relu("z", "y")], ["x"], "y")), CorruptFile, "'z' is not defined"),
        (model(graph("main", [relu("y", "y")], ["x"], "y")), CorruptFile, "before it is used"),
        (model(graph("main", [relu("b", "a"), relu("a", "b")], ["x"], "a")), CorruptFile, "before it is used"),
        (model(graph("main", [relu("x", "y"), relu("x", "y")], ["x"], "y")), CorruptFile, "two values"),
        (model(graph("main", [relu("x", "y")], ["x", "x"], "y")), CorruptFile, "two values"),
        (model(graph("main", [relu("x", "y")], ["x"], "q")), CorruptFile, "the graph's output 'q'"),
        (model(GRAPH.new(name="main")), CorruptFile, "no output"),
        (model(GOOD, primitives=[*PRIMITIVES, *PRIMITIVES]), CorruptFile, "two primitives"),
        (model(GOOD, graph("f", [], ["p"], "p"), graph("f", [], ["q"], "q")), CorruptFile, "two functions"),
        (model(graph("main", [node("REF::Nope", ["x"], "y")], ["x"], "y")), CorruptFile, "Nope"),
        (model(graph("main", [node("", ["x"], "y")], ["x"], "y")), CorruptFile, "no name"),
        (model(graph("main", [NODE.new(op_type="REF::ReLU", input=["x"])], ["x"], "x")), CorruptFile, "0 outputs"),
        (model(graph("main", [node("Constant", [], "y")], ["x"], "y")), CorruptFile, "0 values"),
        (model(graph("main", [], ["x"], "x", map_parameter=[b"m"])), Unsupported, "MapTensor"),
    ],
)  # fmt: skip
def test_what_is_unsound_is_refused_with_a_reason(message: Message, error: type[MindportError], says: str) -> None:
    with pytest.raises(error, match=says):
        load(message)


def test_a_constant_that_cannot_be_read_names_itself() -> None:
    bad = message_for("value", 1)
    bad.set("ref_attr_name", "scalar:value0")
    with pytest.raises(Unsupported, match="constant 'c'"):
        load(model(graph("main", [node("Constant", [], "c", attribute=[bad])], ["x"], "c")))


def test_calls_of_functions_and_closures_are_read_and_written_back() -> None:
    branch = graph("branch", [relu("p", "r")], ["p"], "r")
    main = graph(
        "main",
        [
            constant("yes", True),
            node("REF::Partial", ["branch", "x"], "a"),
            node("REF::Switch", ["yes", "a", "a"], "s"),
            node("REF::s", [], "called"),
            node("REF::branch", ["called"], "y"),
        ],
        ["x"],
        "y",
    )
    message = model(main, branch)
    loaded = load(message)
    calls = [n for n in loaded.graph if n.op_type == "Call"]
    assert calls[0].inputs[0].producer().op_type == "Switch"
    assert literal_of(calls[1].inputs[0]) == FunctionRef("branch")
    assert [f.name for f in loaded.functions.values()] == ["branch"]
    assert b"".join(mindir.write(loaded)) == b"".join(encode(message))


def test_constants_of_one_function_may_be_used_in_a_later_one() -> None:
    main = graph("main", [constant("c", (0,)), node("REF::f", ["x"], "y")], ["x"], "y")
    function = graph("f", [node("REF::Partial", ["p", "c"], "q")], ["p"], "q")
    message = model(main, function)
    assert b"".join(mindir.write(load(message))) == b"".join(encode(message))


def test_a_weight_is_called_by_its_key_unless_that_name_is_taken() -> None:
    weights = [TENSOR.new(name=f"g:{n}", dims=[1], data_type=1, raw_data=bytes(4), ref_key=n) for n in ("w", "x")]
    loaded = load(model(graph("main", [relu("x", "y")], ["x"], "y", parameter=weights)))
    assert list(loaded.graph.initializers) == ["w", "g:x"]


@pytest.mark.parametrize("text", [b"main_graph", b"input_x", b"output_y", b"some_weight", b"ReLU"])
def test_text_that_is_no_utf8_is_refused(text: bytes) -> None:
    weight = TENSOR.new(name="w", ref_key="some_weight", dims=[2], data_type=1, raw_data=bytes(8), doc_string="remark")
    sound = graph("main_graph", [relu("input_x", "output_y")], ["input_x"], "output_y", parameter=[weight])
    data = b"".join(encode(model(sound)))
    assert mindir.loads(data.replace(b"remark", b"\xff\xfemark")).graph.initializers["some_weight"] is not None
    with pytest.raises(CorruptFile, match="not UTF-8 text"):
        mindir.loads(data.replace(text, b"\xff" + text[1:]))
