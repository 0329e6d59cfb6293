"""What can be proved about a model file without running it: weights, operators, and the way to ONNX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from os import PathLike, fspath

import onnx
import onnx_ir as ir

from mindport.conversion import air_check
from mindport.conversion.lift import dialect_of
from mindport.conversion.outline import graphs, is_literal
from mindport.conversion.pipeline import to_onnx
from mindport.dialects.literals import GE, MINDSPORE
from mindport.dialects.table import OpTable
from mindport.errors import CorruptFile, MindportError, UnsupportedOps
from mindport.results import Check

__all__ = ["graph_checks"]

# nodes that are calls and closures of the file's own functions, not operators
_CALLS = {"Call", "Partial"}


def graph_checks(model: ir.Model, path: str | PathLike[str], *, has_weights: bool = True) -> Iterator[Check]:
    """Yields what is proved about `model`, which was read from `path`; its weights are read to the last byte.

    Args:
        model: the model in any dialect.
        path: its file.
        has_weights: False for the outline of a network, which nothing could run.

    Raises:
        CorruptFile: a stored tensor cannot be read.
    """
    nodes = sum(1 for graph in graphs(model) for node in graph if not is_literal(node))
    yield Check("structure", "passed", f"{nodes} nodes, every value is made before it is used")
    dialect = dialect_of(model)
    if not has_weights:
        yield _mindspore_operators(model)
        return
    yield _weights(model, path)
    if dialect == MINDSPORE:
        yield _mindspore_operators(model)
        yield _way_to_onnx(model)
    elif dialect == GE:
        yield _ge_operators(model)
        yield _way_to_onnx(model)
    else:
        yield _onnx_checker(path)


def _weights(model: ir.Model, path: str | PathLike[str]) -> Check:
    count = nbytes = 0
    for graph in graphs(model):
        for name, value in graph.initializers.items():
            tensor = value.const_value
            if tensor is None:
                continue
            try:
                content = tensor.tobytes()
            except (OSError, ValueError) as exc:
                raise CorruptFile(f"the content of weight {name!r} cannot be read: {exc}", path=path) from exc
            if len(content) != tensor.nbytes:
                raise CorruptFile(f"weight {name!r} has {len(content)} bytes instead of {tensor.nbytes}", path=path)
            count, nbytes = count + 1, nbytes + len(content)
    return Check("weights", "passed", f"{count} tensors, {nbytes:,} bytes")


def _onnx_checker(path: str | PathLike[str]) -> Check:
    try:
        onnx.checker.check_model(fspath(path))
    except (onnx.checker.ValidationError, UnicodeDecodeError, RuntimeError) as exc:
        return Check("ONNX checker", "failed", str(exc).strip().partition("\n")[0])
    return Check("ONNX checker", "passed")


def _mindspore_operators(model: ir.Model) -> Check:
    table = OpTable.load(MINDSPORE)
    unknown = Counter(
        node.op_type
        for graph in graphs(model)
        for node in graph
        if not is_literal(node) and node.op_type not in table and node.op_type not in _CALLS
    )
    if unknown:
        listed = ", ".join(f"{op} × {n}" for op, n in sorted(unknown.items()))
        return Check("operators", "not proved", f"not in MindSpore's operator table: {listed}")
    return Check("operators", "passed", "all are in MindSpore's operator table")


def _ge_operators(model: ir.Model) -> Check:
    problems = air_check.check(model)
    if problems:
        return Check("operators", "failed", "; ".join(map(str, problems)))  # all of them: each is to be repaired
    return Check("operators", "passed", "all signatures, dtypes and attributes are those of the graph engine's table")


def _way_to_onnx(model: ir.Model) -> Check:
    name = "can be converted to ONNX"
    try:
        to_onnx(model)
    except UnsupportedOps as exc:
        return Check(name, "not proved", ", ".join(f"{op.op}: {op.reason}" for op in exc.ops))
    except (MindportError, ir.serde.SerdeError) as exc:
        return Check(name, "not proved", str(exc))
    return Check(name, "passed")
