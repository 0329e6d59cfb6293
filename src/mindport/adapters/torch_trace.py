"""From a PyTorch network to an ONNX graph, quietly and without touching the network."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.adapters.torch_forms import cause, formless, stand_ins, translating
from mindport.errors import MissingExtra, Unsupported, UnsupportedOp, UnsupportedOps, UsageError, WrongTypeError
from mindport.extras import need
from mindport.tensors import TensorRef, as_ref

__all__ = ["DynamicSpec", "evaluate", "evaluating", "leaves", "torch_inputs", "trace", "trace_all"]

# input (position or name) -> axes whose size may change: {axis: name} or a sequence of axes
DynamicSpec = Mapping["int | str", "Mapping[int, str] | Sequence[int]"]


def trace(net: Any, inputs: Sequence[Any], *, dynamic: DynamicSpec | None = None, opset: int = 21) -> ir.Model:
    """Returns the ONNX graph of what `net` computes from `inputs` in evaluation mode.

    Parameters keep their names, and their content is the network's own memory. The network's training modes are as
    before afterwards, whatever happens. Nothing is printed and no warning escapes.

    Args:
        net: a `torch.nn.Module`.
        inputs: arguments of its `forward`: mindport, NumPy or torch tensors, also nested in lists, tuples and dicts.
        dynamic: which axes may change in size, by input: ``{0: {0: "batch"}}`` or ``{"x": [0, 2]}``.
        opset: ONNX opset of the graph.

    Raises:
        WrongTypeError: `net` is no network, or an input no tensor.
        UnsupportedOps: every operator for which PyTorch's exporter has no ONNX form, with its places.
        Unsupported: PyTorch cannot trace or export the network for another reason.
        MissingExtra: torch or onnxscript is not installed.
    """
    model, missing = trace_all(net, inputs, dynamic=dynamic, opset=opset)
    if missing or model is None:
        raise UnsupportedOps("ONNX", missing)
    return model


def trace_all(
    net: Any, inputs: Sequence[Any], *, dynamic: DynamicSpec | None = None, opset: int = 21
) -> tuple[ir.Model | None, list[UnsupportedOp]]:
    """Traces as `trace` does, and goes on where operators have no ONNX form.

    Returns:
        The graph, and the operators without an ONNX form, with their places. If there are any, nodes of domain
        `torch_forms.STAND_IN` stand for them, or the graph is None where not even that was possible.

    Raises:
        WrongTypeError, Unsupported, MissingExtra: as `trace`.
    """
    torch = need("torch", "exporting a network")
    need("onnxscript", "exporting a network")
    if not isinstance(net, torch.nn.Module):
        raise WrongTypeError(f"a torch.nn.Module is needed, not {type(net).__name__}")
    arguments = torch_inputs(net, inputs)
    if arguments and isinstance(arguments[-1], dict):
        arguments = (*arguments, {})  # the exporter takes a last dict for keyword arguments
    shapes = _dynamic_shapes(net, arguments, dynamic)
    # optimize=False: the optimiser would fold normalisations into the weights, which would then no longer be the
    # network's; constants are folded by `conversion.fold`
    options = {"dynamo": True, "opset_version": opset, "verbose": False, "optimize": False}
    missing: list[UnsupportedOp] = []
    with evaluating(net), _quiet():
        try:
            program = torch.onnx.export(net, arguments, dynamic_shapes=shapes, **options)
        except ImportError as exc:
            raise MissingExtra(
                f"PyTorch's exporter needs a package that is not installed: {exc}", name=exc.name
            ) from exc
        except Exception as exc:  # the exporter raises whatever its many parts raise
            program, missing = _with_stand_ins(torch, net, arguments, shapes, options, exc)
            if not missing:
                raise Unsupported(f"PyTorch cannot export {type(net).__name__}: {cause(exc)}") from exc
    if program is None:
        return None, missing
    model: ir.Model = program.model
    model.producer_name = "mindport"
    model.producer_version = None
    return model, missing


def _with_stand_ins(
    torch: Any, net: Any, arguments: tuple[Any, ...], shapes: Any, options: dict[str, Any], failure: Exception
) -> tuple[Any, list[UnsupportedOp]]:
    """Returns what the exporter gives with stand-ins for operators without an ONNX form (or None), and these."""
    if translating(failure) is None:
        return None, []
    try:
        if arguments and arguments[-1] == {}:
            arguments = arguments[:-1]  # only torch.onnx.export takes a last dict for keyword arguments
        captured = torch.export.export(net, arguments, dynamic_shapes=shapes)
        missing = formless(captured, failure, options["opset_version"])
    except Exception:  # noqa: BLE001 - the first failure is the one to tell of
        return None, []
    try:
        program = torch.onnx.export(captured, (), custom_translation_table=stand_ins(missing), **options)
    except Exception:  # noqa: BLE001 - so only these operators can be listed
        program = None
    return program, list(missing.values())


def evaluate(net: Any, inputs: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """Returns the network's own outputs in evaluation mode, flattened in the order in which the exporter names them."""
    torch = need("torch", "running a network")
    with evaluating(net), torch.no_grad():
        result = net(*torch_inputs(net, inputs))
    return [as_ref(value).numpy() for value in _flat(result)]


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _flat(item)]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _flat(item)]
    return [] if value is None else [value]


@contextlib.contextmanager
def evaluating(net: Any) -> Iterator[None]:
    """Puts every module of `net` into evaluation mode, and back into its own mode afterwards."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps warnings, log lines and prints of the exporter inside."""
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._dynamo", "onnxscript", "onnx_ir")
    ]
    levels = [logger.level for logger in loggers]
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        disabled = logging.root.manager.disable
        logging.disable(logging.ERROR)  # torch sets up loggers of its own while it exports
        try:
            yield
        finally:
            logging.disable(disabled)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def torch_inputs(net: Any, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Returns `inputs` as torch tensors on the device of the network, in the same nesting."""
    torch = need("torch", "exporting a network")
    device = next((p.device for p in [*net.parameters(), *net.buffers()]), torch.device("cpu"))

    def convert(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.detach().to(device)
        if isinstance(value, Mapping):
            return {k: convert(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)) and not _is_numbers(value):
            return type(value)(convert(v) for v in value)
        return _from_ref(torch, as_ref(value)).to(device)

    return tuple(convert(v) for v in inputs)


def _is_numbers(value: Sequence[Any]) -> bool:
    return bool(value) and all(isinstance(v, (int, float, bool)) for v in value)


def _from_ref(torch: Any, ref: TensorRef) -> Any:
    array = np.array(ref.numpy())  # a copy: the array may be read-only, which torch warns about
    if ref.dtype.torch is None:
        raise WrongTypeError(f"PyTorch has no element type {ref.dtype.name}")
    if ref.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def leaves(inputs: Any) -> list[np.ndarray[Any, Any]]:
    """Returns the tensors of nested inputs as arrays, in the order in which the exporter names them."""
    out: list[np.ndarray[Any, Any]] = []
    if isinstance(inputs, Mapping):
        for value in inputs.values():
            out += leaves(value)
    elif isinstance(inputs, (list, tuple)) and not _is_numbers(inputs):
        for value in inputs:
            out += leaves(value)
    else:
        out.append(as_ref(inputs).numpy())
    return out


def _dynamic_shapes(net: Any, arguments: tuple[Any, ...], dynamic: DynamicSpec | None) -> Any:
    """Returns torch's form of `dynamic`: one entry per argument of `forward`."""
    if not dynamic:
        return None
    import inspect

    torch = need("torch", "exporting a network")
    names = [p for p in inspect.signature(net.forward).parameters if p != "self"]
    out: list[Any] = [None] * len(arguments)
    for key, axes in dynamic.items():
        position = key if isinstance(key, int) else names.index(key) if key in names else -1
        if not 0 <= position < len(arguments):
            raise UsageError(f"dynamic names an input {key!r}; the inputs are {', '.join(names[: len(arguments)])}")
        wanted = dict(axes) if isinstance(axes, Mapping) else {a: f"{names[position]}_{a}" for a in axes}
        if not isinstance(arguments[position], torch.Tensor):
            raise UsageError(f"dynamic axes of input {key!r}: it is not a single tensor")
        rank = arguments[position].ndim
        if not all(isinstance(a, int) and 0 <= a < rank for a in wanted):
            raise UsageError(f"dynamic axes of input {key!r} have to be numbers from 0 to {rank - 1}")
        out[position] = {a: torch.export.Dim(str(name), min=1) for a, name in wanted.items()}
    return tuple(out)
