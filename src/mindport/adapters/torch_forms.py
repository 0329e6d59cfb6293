"""Operators for which PyTorch's exporter has no ONNX form: all of them, named as the network calls them.

The exporter itself gives up at the first one, and names what it was decomposed into. Here the captured program is
looked through as a whole. The exporter then runs once more with a stand-in for each of them, so that what the target
lacks can be listed in the same go.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import onnx
import onnx_ir as ir

from mindport.errors import UnsupportedOp, printable
from mindport.extras import need

__all__ = ["STAND_IN", "cause", "formless", "stand_ins", "translating"]

STAND_IN = "mindport.no_onnx_form"  # domain of the stand-ins; their names are those of the operators
_REASON = "PyTorch's exporter has no ONNX form of it"
_AT = re.compile(r"Error when translating node %(\w+) .*?call_function\[target=(?:torch\.ops\.)?([^\]]+)\]", re.DOTALL)
_LINE = re.compile(r'File "(?:[^"]*[/\\])?([^"/\\]+)", line (\d+)')


def formless(program: Any, failure: BaseException, opset: int) -> dict[Any, UnsupportedOp]:
    """Returns the operators of a captured program that have no ONNX form, in program order.

    Args:
        program: a `torch.export.ExportedProgram`.
        failure: what `torch.onnx.export` raised for it while it translated a node.
        opset: the ONNX opset asked for.

    Returns:
        The operators by call target: a function of PyTorch, or the name of one if the exporter could not be asked and
        only the operator that it stumbled over is known.
    """
    captured = {node.name: node for node in program.graph.nodes}
    found: dict[Any, list[Any]] = {}
    for node in _without_form(program, opset):
        source = captured.get(_origin(node), node)
        nodes = found.setdefault(source.target, [])
        if source not in nodes:
            nodes.append(source)
    if not found:
        place = translating(failure)
        return {place[1]: UnsupportedOp(place[1], _REASON, (place[0],))} if place else {}
    return {t: UnsupportedOp(_title(t), _REASON, tuple(_path(n) for n in nodes)) for t, nodes in found.items()}


def stand_ins(targets: Any) -> dict[Any, Callable[..., Any]]:
    """Returns a table of translations for `torch.onnx.export`: each operator becomes one node of domain `STAND_IN`."""
    return {target: _stand_in(target) for target in targets if hasattr(target, "_schema") and target._schema.returns}


def translating(exc: BaseException) -> tuple[str, str] | None:
    """Returns the node and the operator that the exporter was translating when it failed; None if it came not so far.

    Where one failure led to another, it is the first one's.
    """
    found = next((m for link in _chain(exc) if (m := _AT.search(str(link)))), None)
    return (found[1], found[2]) if found else None


def cause(exc: BaseException) -> str:
    """Returns what went wrong, in one line, out of the exporter's chain of exceptions."""
    chain = _chain(exc)
    text = next((line.strip() for link in reversed(chain) for line in str(link).splitlines() if line.strip()), "")
    said = f"{type(chain[-1]).__name__}: {text}" if text else type(chain[-1]).__name__
    place = translating(exc)
    return printable(f"{place[1]} (node {place[0]}): {said}" if place else said, 300)


def _chain(exc: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    seen: BaseException | None = exc
    while seen is not None and seen not in chain:
        chain.append(seen)
        seen = seen.__cause__ or seen.__context__
    return chain


def _without_form(program: Any, opset: int) -> Iterator[Any]:
    """Yields the nodes of the decomposed program that the exporter would refuse.

    What it knows can be asked only inside of it. A PyTorch that has moved these functions yields nothing.
    """
    try:
        from torch.onnx._internal.exporter import _core, _dispatching, _registration

        registry = _registration.ONNXRegistry.from_torchlib(opset_version=opset)
        decomposed = _core._prepare_exported_program_for_export(program, registry=registry)
        nodes = [n for n in decomposed.graph.nodes if n.op == "call_function" and n.target is not operator.getitem]
        refused = [n for n in nodes if _dispatching.dispatch(n, registry)[0] is None]
    except (ImportError, AttributeError, TypeError, ValueError):
        return
    yield from refused


def _origin(node: Any) -> str:
    """Returns the name of the captured node that `node` was decomposed from."""
    sources = node.meta.get("from_node") or ()
    return str(sources[0].name) if sources else str(node.name)


def _title(target: Any) -> str:
    return str(target) if hasattr(target, "_schema") else getattr(target, "__name__", str(target))


def _path(node: Any) -> str:
    """Returns where the node stands, as `ops.view.path_of` words it: module path, node name, source line."""
    modules = [str(name) for name, _ in (node.meta.get("nn_module_stack") or {}).values() if name]
    where = f"{modules[-1]}/{node.name}" if modules else str(node.name)
    lines = _LINE.findall(node.meta.get("stack_trace") or "")
    return f"{where} ({lines[-1][0]}:{lines[-1][1]})" if lines else where


def _stand_in(target: Any) -> Callable[..., Any]:
    """Returns a translation of `target` into one node that takes its tensors and gives its outputs."""
    values = need("onnxscript", "exporting a network").values
    schema_class: Any = onnx.defs.OpSchema  # its stubs do not list what is used here
    parameter, options = schema_class.FormalParameter, schema_class.FormalParameterOption
    outputs = [f"T{i}" for i in range(len(target._schema.returns))]
    identity: Any = onnx.defs.get_schema("Identity", 21)
    anything = identity.type_constraints[0].allowed_type_strs
    schema = schema_class(
        _title(target),
        STAND_IN,
        1,
        inputs=[parameter("x", "T", param_option=options.Variadic, is_homogeneous=False, min_arity=0)],
        outputs=[parameter(f"y_{kind}", kind) for kind in outputs],
        type_constraints=[(kind, anything, "") for kind in ("T", *outputs)],
    )
    op = values.Op(values.Opset(STAND_IN, 1), _title(target), schema)

    def translate(*args: Any, **kwargs: Any) -> Any:
        return op(*[a for a in (*args, *kwargs.values()) if isinstance(a, ir.Value)])

    return translate
