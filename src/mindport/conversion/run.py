"""Running a model file on arrays, without the framework that the file is meant for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from mindport.conversion.lift import dialect_of
from mindport.conversion.pipeline import to_onnx
from mindport.dtypes import by_onnx
from mindport.errors import Unsupported, UsageError
from mindport.extras import need
from mindport.formats import onnx as onnx_format
from mindport.formats import registry

__all__ = ["Array", "feeds_for", "random_inputs", "run_graph", "run_model"]

Array = np.ndarray[Any, Any]
Inputs = Sequence[Array] | Mapping[str, Array]


def run_model(path: str | os.PathLike[str], inputs: Inputs) -> list[Array]:
    """Returns what the model in `path` (ONNX, MindIR or AIR) gives for `inputs`, in the order of its outputs.

    ONNX runs in ONNX Runtime as it is; the others are lifted to ONNX first.

    Args:
        path: the model file.
        inputs: arrays in the order of the graph's inputs, or by input name.

    Raises:
        UsageError: the inputs are not those of the graph.
        Unsupported: an operator has no way to ONNX, or ONNX Runtime cannot run the graph.
        MissingExtra: onnxruntime is not installed.
        FormatError: the file is unsound.
    """
    fmt = registry.detect(path)
    model = registry.module_of(fmt).read(path)
    if not isinstance(model, ir.Model):
        raise UsageError(f"{os.fspath(path)} holds no model that could be run")
    if fmt.name == "onnx":
        return _in_onnxruntime(os.fspath(path), feeds_for(model, inputs))
    return run_graph(model, inputs)


def run_graph(model: ir.Model, inputs: Inputs) -> list[Array]:
    """Returns what a model of any dialect gives for `inputs`. Arguments and errors as `run_model`."""
    if dialect_of(model):
        model = to_onnx(model)
    return _in_onnxruntime(b"".join(onnx_format.write(model)), feeds_for(model, inputs))


def _in_onnxruntime(source: str | bytes, feeds: dict[str, Array]) -> list[Array]:
    """Runs a file, or the bytes of one."""
    ort = need("onnxruntime", "running a model")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return [np.asarray(v) for v in session.run(None, feeds)]
    except Exception as exc:  # onnxruntime has one exception type per cause, none with a common base of its own
        raise Unsupported(f"ONNX Runtime cannot run the model: {str(exc).splitlines()[0]}") from exc


def feeds_for(model: ir.Model, inputs: Inputs) -> dict[str, Array]:
    """Returns `inputs` by input name. Raises UsageError if they are not those of the graph."""
    wanted = [str(v.name) for v in model.graph.inputs if str(v.name) not in model.graph.initializers]
    if isinstance(inputs, Mapping):
        given = {str(k): np.asarray(v) for k, v in inputs.items()}
        if set(given) != set(wanted):
            raise UsageError(f"the model's inputs are {', '.join(wanted)}; given were {', '.join(given) or 'none'}")
        return {name: given[name] for name in wanted}
    if len(inputs) != len(wanted):
        raise UsageError(f"the model has {len(wanted)} input(s) ({', '.join(wanted)}), {len(inputs)} were given")
    return {name: np.asarray(value) for name, value in zip(wanted, inputs, strict=True)}


def random_inputs(model: ir.Model, seed: int = 0) -> list[Array]:
    """Returns reproducible inputs for the graph; an unknown dimension becomes 2, one of the same symbol the same.

    Raises:
        Unsupported: an input's type or number of dimensions is unknown, or its type is text.
    """
    rng = np.random.default_rng(seed)
    out = []
    for value in model.graph.inputs:
        if str(value.name) in model.graph.initializers:
            continue
        if value.dtype is None or value.shape is None:
            raise Unsupported(f"type or shape of input {value.name} is unknown, so no input can be made up for it")
        dtype = by_onnx(int(value.dtype))
        shape = [d if isinstance(d, int) else 2 for d in value.shape]
        if dtype.name == "bool":
            out.append(rng.uniform(size=shape) < 0.5)
        elif np.issubdtype(dtype.numpy, np.integer):
            out.append(rng.integers(0, 2, shape).astype(dtype.numpy))  # an index into anything is valid
        else:
            out.append(np.asarray(rng.normal(size=shape)).astype(dtype.numpy))
    return out
