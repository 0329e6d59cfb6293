"""Lifting: a graph of MindSpore or GE operators becomes an ONNX graph, node by node, through the op cards.

The source graph is left as it is; weights are shared, not copied. Types and shapes are inferred while building, so that
rules may ask for them. Every operator that cannot be converted is found before anything is raised.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import onnx_ir as ir

from mindport import ops
from mindport.conversion.lower import Problems
from mindport.dialects.emit import Names
from mindport.dialects.emit_onnx import HUB_OPSET, OnnxEmit
from mindport.dialects.literals import dims_of, has_literal, literal_of
from mindport.dialects.table import OpTable
from mindport.errors import MindportError, Unsupported, UnsupportedOps
from mindport.ops.foreign import ForeignView, as_tensor
from mindport.ops.view import path_of

__all__ = ["dialect_of", "lift", "lift_values"]


def dialect_of(model: ir.Model) -> str:
    """Returns the dialect a graph is written in: ``""`` for ONNX, ``"mindspore"`` or ``"ge"``."""
    imports = model.graph.opset_imports
    return next((d for d in ops.TARGETS.values() if d in imports), "")


def lift(model: ir.Model, *, opset: int = HUB_OPSET) -> ir.Model:
    """Returns a foreign model in ONNX operators of `opset`. Names of inputs, weights and outputs are kept.

    Raises:
        UnsupportedOps: operators without a way to ONNX, all of them, with node paths.
    """
    return _Lifting(model, opset).run()


def lift_values(model: ir.Model, *, opset: int = HUB_OPSET) -> dict[ir.Value, Any]:
    """Returns what each value of a foreign model is in ONNX, as far as it can be lifted.

    Tensors are `onnx_ir` values with the type and shape that ONNX infers; see `ops.foreign` for the rest.
    """
    lifting = _Lifting(model, opset)
    with suppress(UnsupportedOps):
        lifting.run()
    return lifting.went


def _text(name: str | None) -> str:
    """Returns a name as ONNX can hold it: bytes of a foreign file that are no UTF-8 become escapes."""
    return (name or "").encode("utf-8", "backslashreplace").decode()


class _Failed:
    """Stands for what a failed node would have given; using it fails quietly."""


class _Lifting:
    """One run: what each foreign value became (tensor, tuple or literal), what has been built, what went wrong."""

    def __init__(self, model: ir.Model, opset: int) -> None:
        self.model, self.domain = model, dialect_of(model)
        self.table = OpTable.load(self.domain)
        names = Names()
        for value in [*model.graph.inputs, *model.graph.initializers.values()]:
            names.take(str(value.name))
        for node in model.graph:
            for out in node.outputs:
                names.take(str(out.name))
        self.o = OnnxEmit(opset, names)
        self.opset = opset
        self.problems = Problems("ONNX")
        self.went: dict[ir.Value, Any] = {}
        self.used: list[ir.Value] = []
        self._named: set[ir.Value] = set()

    def run(self) -> ir.Model:
        graph = self.model.graph
        inputs = [ir.Value(name=_text(v.name), shape=v.shape, type=v.type) for v in graph.inputs]
        self.went.update(zip(graph.inputs, inputs, strict=True))
        for node in graph:
            if not (node.op_type == "Constant" and has_literal(node.outputs[0])):
                self._node(node)
        outputs = self._outputs()
        self.problems.raise_if_any()
        lifted = ir.Graph(
            inputs,
            outputs,
            nodes=self.o.nodes,
            initializers=[*self.used, *self.o.parameters],
            name=_text(graph.name or "main"),
            opset_imports={"": self.opset},
            metadata_props={_text(k): _text(v) for k, v in graph.metadata_props.items()},
        )
        return ir.Model(lifted, ir_version=10, producer_name="mindport")

    def lifted(self, value: ir.Value) -> Any:
        """Returns what `value` became; literals and weights are looked up when first asked for."""
        if value in self.went:
            return self.went[value]
        if has_literal(value):
            return literal_of(value)
        if value.const_value is None:
            raise Unsupported(f"{value.name} is a value of another graph")
        tensor = value.const_value
        copy = ir.Value(
            name=_text(value.name),
            shape=ir.Shape(dims_of(tensor)),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.used.append(copy)
        self.went[value] = copy
        return copy

    def _node(self, node: ir.Node) -> None:
        rule = ops.lift_rule(self.domain, node.op_type)
        path = path_of(node)
        if any(v is not None and isinstance(self.went.get(v), _Failed) for v in node.inputs):
            # its own problem, if it has one, shows after the first is solved; a missing rule is told now
            if rule is None:
                self.problems.add(node.op_type, "there is no way to ONNX yet", path)
            self.went.update(dict.fromkeys(node.outputs, _Failed()))
            return
        if rule is None:
            self.problems.add(node.op_type, "there is no way to ONNX yet", path)
            self.went.update(dict.fromkeys(node.outputs, _Failed()))
            return
        view = ForeignView(node, self.lifted, self.o, self.table.find(node.op_type))
        try:
            with self.o.at(_text(node.name or node.op_type)):
                result = rule(self.o, view)
        except MindportError as exc:
            self.problems.add(node.op_type, str(exc), path)
            result = _Failed()
        except (
            IndexError,
            KeyError,
            TypeError,
            ValueError,
        ) as exc:  # a file may say anything: too few inputs, odd axes
            self.problems.add(node.op_type, f"its inputs or attributes do not fit the operator: {exc!r}", path)
            result = _Failed()
        self._take(node, result)

    def _take(self, node: ir.Node, result: Any) -> None:
        if isinstance(result, _Failed):
            self.went.update(dict.fromkeys(node.outputs, result))
        elif len(node.outputs) == 1:
            self._named_as(result, node.outputs[0])
        else:
            results = result if isinstance(result, (tuple, list)) else (result,)
            for i, out in enumerate(node.outputs):
                self._named_as(results[i] if i < len(results) else None, out)

    def _named_as(self, result: Any, out: ir.Value) -> None:
        if isinstance(result, ir.Value) and result.producer() is not None and result not in self._named:
            result.name = _text(out.name)
            self._named.add(result)
            if result.type is None:
                result.type = out.type
            if result.shape is None:
                result.shape = out.shape
        self.went[out] = result

    def _outputs(self) -> list[ir.Value]:
        """Returns the graph outputs; a tuple result is flattened, anything that no node makes gets an Identity."""
        out: list[ir.Value] = []
        for value in self.model.graph.outputs:
            try:
                self._flatten(self.lifted(value), out)
            except Unsupported as exc:
                self.problems.add("graph output", str(exc), str(value.name))
        return out

    def _flatten(self, value: Any, into: list[ir.Value]) -> None:
        if isinstance(value, _Failed):
            return
        if isinstance(value, (tuple, list)):
            for item in value:
                self._flatten(item, into)
            return
        result = as_tensor(self.o, value)
        if result.producer() is None or result in into:
            result = self.o.Identity(result)
        into.append(result)
