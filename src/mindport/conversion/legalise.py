"""Brings an ONNX graph into the one form that rules know. Everything here is ONNX → ONNX and holds for every target.

Each step is a function ``model -> model`` that may change the model it is given; `pipeline` puts them in order.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from mindport import ops
from mindport.conversion.fold import fold
from mindport.conversion.lower import opset_of
from mindport.dialects.emit_onnx import HUB_OPSET, schema_of
from mindport.errors import Unsupported

__all__ = [
    "bodies",
    "constants",
    "drop_unused",
    "drop_zero_bias",
    "forget_source",
    "hub_opset",
    "inline",
    "plain_initializers",
]

_KEEP_BYTES = 1 << 10  # initializers up to this size go through onnx's C++ code with their content
_BODY = "mindport.body"  # domain of function bodies while they are being inlined


def inline(model: ir.Model) -> ir.Model:
    """Replaces calls of the model's own functions by their bodies."""
    if not model.functions:
        return model
    return passes.InlinePass()(model).model


def plain_initializers(model: ir.Model) -> ir.Model:
    """Takes initializers out of the graph's inputs (old files list them there)."""
    return passes.RemoveInitializersFromInputsPass()(model).model


def constants(model: ir.Model) -> ir.Model:
    """Turns Constant nodes into initializers, marked as no weights of the user's."""
    before = set(model.graph.initializers)
    model = passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model).model
    for name, value in model.graph.initializers.items():
        if name not in before:
            value.meta["constant"] = True
    return model


def drop_zero_bias(model: ir.Model) -> ir.Model:
    """Removes a convolution's bias that is a constant zero: exporters add one where the network has none."""
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose") and node.domain == "" and len(node.inputs) == 3:
            bias = node.inputs[2]
            content = None if bias is None or not bias.meta.get("constant") else bias.const_value
            if content is not None and not content.numpy().any():
                node.resize_inputs(2)
    return model


def drop_unused(model: ir.Model) -> ir.Model:
    """Removes nodes and initializers that no output needs."""
    return passes.RemoveUnusedNodesPass()(model).model


def forget_source(model: ir.Model) -> ir.Model:
    """Removes the exporter's remarks (stack traces with paths of this machine) from nodes and values."""
    for holder in (model, model.graph):
        holder.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for out in node.outputs:
            out.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()
    return model


# what onnx's C++ version converter raises for a model that contradicts itself
_CONVERTER_ERRORS = (
    RuntimeError,
    UnicodeDecodeError,
    onnx.version_converter.ConvertError,
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
)


def hub_opset(model: ir.Model) -> ir.Model:
    """Brings a model of an older opset to `HUB_OPSET`; one of a newer opset keeps it.

    Raises:
        Unsupported: onnx's version converter has no way, or the opset is newer than the installed onnx knows.
    """
    opset = opset_of(model)
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise Unsupported(f"the model uses ONNX opset {opset}; the installed onnx knows up to {newest}")
    if opset == 0:
        raise Unsupported("the model imports no ONNX operators of the default domain")
    if opset >= HUB_OPSET:
        return model
    try:
        return through_proto(model, lambda proto: onnx.version_converter.convert_version(proto, HUB_OPSET))
    except _CONVERTER_ERRORS as exc:
        raise Unsupported(f"ONNX opset {opset} cannot be brought to {HUB_OPSET}: {_first_line(exc)}") from exc


def _first_line(exc: Exception) -> str:
    return next((line for line in str(exc).splitlines() if line.strip()), type(exc).__name__)


def through_proto(model: ir.Model, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> ir.Model:
    """Runs `change` on the model's protobuf form without the content of large initializers.

    Large initializers travel as graph inputs and come back as what they were, so nothing is copied and protobuf's
    2 GB limit does not apply.
    """
    graph = model.graph
    large = {
        n: v for n, v in graph.initializers.items() if v.const_value is not None and v.const_value.nbytes > _KEEP_BYTES
    }
    marks = {n for n, v in graph.initializers.items() if v.meta.get("constant")}
    for name, value in large.items():
        graph.initializers.pop(name)
        graph.inputs.append(value)
    try:
        proto = ir.serde.serialize_model(model)
    finally:
        for value in large.values():
            graph.inputs.remove(value)
            graph.register_initializer(value)
    changed = ir.serde.deserialize_model(change(proto))
    for value in list(changed.graph.inputs):
        if value.name in large:
            changed.graph.inputs.remove(value)
            value.const_value = large[str(value.name)].const_value
            changed.graph.register_initializer(value)
    for name, value in changed.graph.initializers.items():
        if name in marks:
            value.meta["constant"] = True
    return changed


def bodies(model: ir.Model, domain: str) -> ir.Model:
    """Replaces every operator that has no card for `domain` but a function body in ONNX's own schema by that body.

    Repeated until nothing changes, since bodies may use further such operators. The last attempt leaves what has no
    body; lowering reports it.
    """
    for _ in range(8):
        found = [n for n in model.graph if n.domain == "" and ops.lower_rule(domain, n.op_type) is None]
        if not sum(_to_call(model, node, i) for i, node in enumerate(found)):
            return model
        model = passes.InlinePass()(model).model
        model = fold(constants(model))  # a body inside a body may depend on types, which are inferred here
    return model


def _to_call(model: ir.Model, node: ir.Node, ordinal: int) -> bool:
    """Points the node at a model function made from its schema's body; False if it has none."""
    if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
        return False  # the inliner takes no graphs as parameters
    proto = _body(node, opset_of(model))
    if proto is None:
        return False
    proto.domain, proto.name = _BODY, f"{node.op_type}_{ordinal}"
    function = ir.serde.deserialize_function(proto)
    model.functions[function.identifier()] = function
    model.graph.opset_imports[_BODY] = 1
    named = [out for out in node.outputs if out.name]
    if len(function.outputs) == len(named) < len(node.outputs):
        node = _without_gaps(model.graph, node, named)
    node.domain, node.op_type = function.domain, function.name
    return True


def _without_gaps(graph: ir.Graph, node: ir.Node, named: Sequence[ir.Value]) -> ir.Node:
    """Returns the node with its named outputs only: a body made for a node has no others."""
    tight = ir.Node(
        node.domain, node.op_type, node.inputs, node.attributes.values(), num_outputs=len(named), name=node.name
    )
    tight.metadata_props.update(node.metadata_props)
    graph.insert_before(node, tight)
    for old, new in zip(named, tight.outputs, strict=True):
        new.name, new.type, new.shape = old.name, old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return tight


def _body(node: ir.Node, opset: int) -> onnx.FunctionProto | None:
    schema: Any = schema_of(node.op_type, opset)  # its stubs do not list what is used here
    if schema is None:
        return None
    proto = ir.serde.serialize_node(node)
    text = b""
    if schema.has_context_dependent_function:
        types = [_type_bytes(v) for v in node.inputs]
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
        if versions:
            text = schema.get_context_dependent_function_with_opset_version(
                max(versions), proto.SerializeToString(), types
            )
    elif schema.has_function:
        versions = [v for v in schema.function_opset_versions if v <= opset]
        if versions:
            text = schema.get_function_with_opset_version(max(versions))
    if not text:
        return None
    body: onnx.FunctionProto = onnx.FunctionProto.FromString(text)
    _bind_defaults(node, schema, body)
    return body if _renewed(body, opset) else None


def _renewed(body: onnx.FunctionProto, opset: int) -> bool:
    """Moves a body to `opset`; False if one of its operators has changed its meaning since.

    From opset 18 on operators have only gained element types. Before that, axes moved from attributes to inputs.
    """
    made = {name for n in body.node for name in n.output} | set(body.input)
    kept = [name for name in body.output if name in made]  # bodies made for a node name outputs it does not have
    del body.output[:]
    body.output.extend(kept)
    for imported in body.opset_import:
        if imported.domain not in ("", "ai.onnx"):
            continue
        if imported.version < 18:
            for n in body.node:
                now = schema_of(n.op_type, opset)
                if now is None or any(a.name not in now.attributes for a in n.attribute):
                    return False
        imported.version = opset
    return True


def _type_bytes(value: ir.Value | None) -> bytes:
    proto = onnx.TypeProto()
    if value is not None and value.type is not None:
        ir.serde.serialize_type_into(proto, value.type)
        if value.shape is not None:
            ir.serde.serialize_shape_into(proto, value.shape)
    data: bytes = proto.SerializeToString()
    return data


def _bind_defaults(node: ir.Node, schema: onnx.defs.OpSchema, body: onnx.FunctionProto) -> None:
    """Writes attributes that the node leaves to their defaults onto it: a body refers to them by name."""
    given: Any = node.attributes
    for name in body.attribute:
        row = schema.attributes.get(name)
        if name not in given and row is not None and row.default_value.type:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                given.add(ir.serde.deserialize_attribute(row.default_value))
