"""Checked builder of ONNX nodes that also infers the type and shape of what it builds."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from mindport.dialects.emit import Emit, Names
from mindport.dialects.literals import tensor
from mindport.errors import Unsupported, UsageError

__all__ = ["HUB_OPSET", "OnnxEmit", "infer", "schema_of"]

# graphs of older opsets are brought to this one before rules see them; no rule knows another
HUB_OPSET = 21

_DATA_LIMIT_BYTES = 1 << 12  # constants up to this size take part in shape inference (shapes, axes, pads)


def schema_of(op: str, opset: int, domain: str = "") -> onnx.defs.OpSchema | None:
    """Returns the schema of `op` in force at `opset`, or None."""
    try:
        return onnx.defs.get_schema(op, max_inclusive_version=opset, domain=domain)
    except onnx.defs.SchemaError:
        return None


class OnnxEmit(Emit):
    """Builds ONNX nodes of one opset: ``o.Softmax(x, axis=1)``.

    Inputs by position (None for an optional one that is absent; arrays become initializers), attributes by keyword
    (None leaves one out). Several outputs: ``o.TopK(x, k, outputs=2)`` gives a tuple.
    """

    domain = ""

    def __init__(self, opset: int, names: Names | None = None) -> None:
        super().__init__(names)
        self.opset = opset

    def call(self, op: str, *args: Any, outputs: int | None = None, **kwargs: Any) -> Any:
        """Builds ONNX operator `op`. Raises UsageError when its schema does not allow the call."""
        schema = schema_of(op, self.opset)
        if schema is None:
            raise UsageError(f"ONNX opset {self.opset} has no operator {op!r}")
        given = {k: v for k, v in kwargs.items() if v is not None}
        unknown = sorted(set(given) - set(schema.attributes))
        if unknown:
            raise UsageError(
                f"{op} has no attribute {', '.join(unknown)}; it has {', '.join(sorted(schema.attributes))}"
            )
        missing = [n for n, a in schema.attributes.items() if a.required and n not in given]
        if missing:
            raise UsageError(f"{op}: attribute {', '.join(missing)} is missing")
        values = [self._input(op, v) for v in args]
        while values and values[-1] is None:
            values.pop()
        if not schema.min_input <= len(values) <= schema.max_input:
            raise UsageError(f"{op} takes {schema.min_input} to {schema.max_input} inputs, {len(values)} were given")
        attrs = ir.convenience.convert_attributes(given)
        node = self.add(op, values, list(attrs), 1 if outputs is None else outputs)
        infer(node, self.opset)
        return node.outputs[0] if outputs is None else tuple(node.outputs)

    @staticmethod
    def _is_array(value: Any) -> bool:
        return isinstance(value, (np.ndarray, np.generic, ir.TensorProtocol))

    def _input(self, op: str, value: Any) -> ir.Value | None:
        if value is None or isinstance(value, ir.Value):
            return value
        if self._is_array(value):
            return self.literal(value)
        raise UsageError(f"{op} takes tensors, not {type(value).__name__}: use o.const(value, dtype)")

    def _constant(self, value: Any) -> ir.Value:
        """A tensor literal is an initializer of the ONNX graph, whatever its size."""
        if isinstance(value, np.generic):
            value = tensor(np.asarray(value))
        return self._parameter(value)

    def _parameter(self, value: ir.TensorProtocol) -> ir.Value:
        out = super()._parameter(value)
        out.meta["constant"] = True  # made by a rule: no weight of the user's
        return out


def _type_proto(value: ir.Value) -> onnx.TypeProto | None:
    if value.type is None:
        return None
    proto = onnx.TypeProto()
    ir.serde.serialize_type_into(proto, value.type)
    if value.shape is not None:
        ir.serde.serialize_shape_into(proto, value.shape)
    return proto


def infer(node: ir.Node, opset: int) -> None:
    """Sets type and shape of the node's outputs as far as they follow from its inputs.

    Raises:
        Unsupported: the inputs contradict the operator (element types or shapes that do not go together).
    """
    schema = schema_of(node.op_type, opset, node.domain)
    if schema is None or any(v is not None and v.type is None for v in node.inputs):
        return
    proto = ir.serde.serialize_node(node)
    types = {str(v.name): t for v in node.inputs if v is not None and (t := _type_proto(v)) is not None}
    data = {
        str(v.name): ir.serde.serialize_tensor(v.const_value)
        for v in node.inputs
        if v is not None and v.const_value is not None and v.const_value.nbytes <= _DATA_LIMIT_BYTES
    }
    imports = [onnx.helper.make_opsetid(node.domain, opset)]
    try:
        found = onnx.shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=imports)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as exc:
        raise Unsupported(f"{node.name}: {str(exc).splitlines()[0]}") from exc
    if node.op_type == "GroupNormalization":  # the one operator whose schema infers nothing
        found = {str(node.outputs[0].name): types[str(node.inputs[0].name)]} if node.inputs[0] is not None else {}
    for out in node.outputs:
        if out.name in found and found[out.name].WhichOneof("value") is not None:
            out.type = ir.serde.deserialize_type_proto_for_type(found[out.name])
            out.shape = ir.serde.deserialize_type_proto_for_shape(found[out.name])
