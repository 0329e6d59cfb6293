"""Lowering: an ONNX graph becomes a graph of MindSpore or GE operators, node by node, through the op cards.

The source graph is left as it is. Weights are shared, not copied. Every operator that cannot be converted is found
before anything is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from mindport import ops
from mindport.dialects.emit import CONSTANT_LIMIT, Emit, Names
from mindport.dialects.emit_ge import GeEmit
from mindport.dialects.emit_mindspore import MindSporeEmit
from mindport.dialects.literals import GE, MINDSPORE
from mindport.errors import MindportError, Unsupported, UnsupportedOp, UnsupportedOps
from mindport.ops.view import View, path_of

__all__ = ["Problems", "lower", "opset_of"]

_EMITS: dict[str, type[Emit]] = {MINDSPORE: MindSporeEmit, GE: GeEmit}
_TITLES = {domain: title for title, domain in ops.TARGETS.items()}


def opset_of(model: ir.Model) -> int:
    """Returns the default-domain opset of an ONNX model (0 when it imports none)."""
    return int(model.graph.opset_imports.get("", 0))


class Problems:
    """Collects operators that cannot be converted: one entry per operator and reason, nodes in graph order."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._nodes: dict[tuple[str, str, str], list[str]] = {}

    def add(self, op: str, reason: str, node: str, hint: str = "") -> None:
        """Notes one node."""
        self._nodes.setdefault((op, reason, hint), []).append(node)

    def listed(self) -> list[UnsupportedOp]:
        """Returns what was collected."""
        return [UnsupportedOp(op, reason, tuple(nodes), hint) for (op, reason, hint), nodes in self._nodes.items()]

    def raise_if_any(self) -> None:
        """Raises UnsupportedOps with everything collected, if there is anything."""
        if self._nodes:
            raise UnsupportedOps(self.target, self.listed())


def lower(model: ir.Model, domain: str) -> ir.Model:
    """Returns `model` (ONNX at the hub opset, legalised) in the operators of dialect `domain`.

    Graph inputs, initializers that are used, and graph outputs keep their names.

    Raises:
        UnsupportedOps: operators without a way to the target, all of them, with node paths.
    """
    return _Lowering(model, domain).run()


class _Lowering:
    """One run: where each source value went, what has been built, what went wrong."""

    def __init__(self, model: ir.Model, domain: str) -> None:
        self.model, self.domain = model, domain
        names = Names()
        self.emit = _EMITS[domain](names)
        self.problems = Problems(_TITLES[domain])
        self.went: dict[ir.Value, ir.Value] = {}
        self.used: list[ir.Value] = []
        self._named: set[ir.Value] = set()  # an alias (Identity) keeps the first name
        for value in [*model.graph.inputs, *model.graph.initializers.values()]:
            names.take(str(value.name))
        for node in model.graph:
            for out in node.outputs:
                names.take(str(out.name))

    def run(self) -> ir.Model:
        graph = self.model.graph
        inputs = [self._copy(value) for value in graph.inputs]
        self.went.update(zip(graph.inputs, inputs, strict=True))
        for node in graph:
            self._node(node)
        outputs = [self.resolve(value) for value in graph.outputs]
        self.problems.raise_if_any()
        lowered = ir.Graph(
            inputs,
            outputs,
            nodes=self.emit.nodes,
            initializers=[*self.used, *self.emit.parameters],
            name=graph.name or "main",
            opset_imports={self.domain: 1},
            metadata_props=dict(graph.metadata_props),
        )
        return ir.Model(lowered, ir_version=self.model.ir_version, producer_name="mindport")

    @staticmethod
    def _copy(value: ir.Value) -> ir.Value:
        copy = ir.Value(name=value.name, shape=value.shape, type=value.type, const_value=value.const_value)
        copy.meta["kind"] = "tensor"
        return copy

    def resolve(self, value: ir.Value) -> ir.Value:
        """Returns what `value` became; an initializer is taken over when first asked for."""
        found = self.went.get(value)
        if found is None:
            if value.const_value is None:
                raise Unsupported(f"{value.name} is a value of an enclosing graph")
            if value.meta.get("constant") and value.const_value.size < CONSTANT_LIMIT:
                found = self.emit.literal(value.const_value)
            else:
                found = self._copy(value)
                self.used.append(found)
            self.went[value] = found
        return found

    def _node(self, node: ir.Node) -> None:
        rule = ops.lower_rule(self.domain, node.op_type) if node.domain == "" else None
        label = node.op_type if node.domain == "" else f"{node.domain}.{node.op_type}"
        path = path_of(node)
        outs: Sequence[Any] = ()
        if rule is None:
            self.problems.add(label, f"there is no way to {self.problems.target} yet", path)
        else:
            try:
                with self.emit.at(str(node.name or node.op_type)):
                    result = rule(self.emit, View(node, self.resolve, opset_of(self.model)))
                outs = result if isinstance(result, (tuple, list)) else (result,)
            except MindportError as exc:
                self.problems.add(label, str(exc), path)
            except (IndexError, KeyError, TypeError, ValueError) as exc:  # a file may say anything: odd ranks, axes
                self.problems.add(label, f"its inputs or attributes do not fit the operator: {exc!r}", path)
        self._take(node, outs, label, path)

    def _take(self, node: ir.Node, outs: Sequence[Any], label: str, path: str) -> None:
        """Records what each output became; one that failed gets a stand-in, so that the rest is still checked."""
        for i, out in enumerate(node.outputs):
            new = outs[i] if i < len(outs) else None
            if new is None:
                if outs and (out.uses() or out.is_graph_output()):
                    self.problems.add(label, f"output {i} cannot be had", path)
                new = self._copy(out)
            elif new.producer() is not None and new not in self._named:
                _name_like(new, out)
                self._named.add(new)
            self.went[out] = new


def _name_like(new: ir.Value, out: ir.Value) -> None:
    """Gives the value that replaces `out` its name, type and shape; an output that nobody named stays as it is."""
    new.name = out.name or new.name
    new.type = new.type if new.type is not None else out.type
    new.shape = new.shape if new.shape is not None else out.shape
