"""Records the graph of a PyTorch network while it runs, for `-graph.meta`: operators, scopes, types and shapes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mindport.adapters.torch import unwrapped
from mindport.events import log
from mindport.extras import need
from mindport.formats.graph_meta import Argument, GraphOutline, Node, Port, of_weights

__all__ = ["GraphRecorder"]

_T = TypeVar("_T")

# torch's function name -> the name viewers know from MindSpore; the rest is written in its CamelCase form
_OPS = {
    "adaptive_avg_pool2d": "AdaptiveAvgPool2D",
    "adaptive_max_pool2d": "AdaptiveMaxPool2D",
    "avg_pool2d": "AvgPool",
    "batch_norm": "BatchNorm",
    "cat": "Concat",
    "conv1d": "Conv1D",
    "conv2d": "Conv2D",
    "conv3d": "Conv3D",
    "embedding": "Embedding",
    "gelu": "GeLU",
    "layer_norm": "LayerNorm",
    "linear": "Dense",
    "matmul": "MatMul",
    "max_pool2d": "MaxPool",
    "permute": "Transpose",
    "relu": "ReLU",
    "relu_": "ReLU",
    "relu6": "ReLU6",
    "silu": "SiLU",
    "truediv": "Div",
    "view": "Reshape",
}
_SKIPPED = {"__set__", "requires_grad_", "register_hook", "backward"}


class GraphRecorder:
    """Runs a network once and keeps what it did in `outline`.

    `outline` holds the parameters alone when the operators cannot be seen (a compiled or scripted network, nested
    tensors), and stays None until `run` has returned. Whatever goes wrong with recording, the network runs.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.outline: GraphOutline | None = None

    def run(self, *inputs: Any, **named: Any) -> Any:
        """Returns `network(*inputs, **named)`."""
        inner = unwrapped(self.network)
        record = None
        if "_orig_mod" not in self.network._modules and not _scripted(inner):
            record = _attempt(lambda: _Record(inner))
        if record is None:
            result = self.network(*inputs, **named)
        else:
            record.attempt(lambda: record.add_inputs(inputs, named))
            with record.scopes(), record.mode():
                result = self.network(*inputs, **named)
        weights = _attempt(lambda: of_weights(type(inner).__name__, _described(inner)))
        if weights is not None and record is not None and record.sound:
            self.outline = _attempt(lambda: record.finish(result, weights))
        self.outline = self.outline or weights
        return result


def _attempt(step: Callable[[], _T]) -> _T | None:
    """Returns what a step of the recording gives, or None when it fails: the graph is decoration, training is not."""
    try:
        return step()
    except Exception:  # noqa: BLE001 - tensors can be subclasses with any behaviour; the traceback is logged
        log.info("the graph of the network cannot be recorded; its parameters alone are", exc_info=True)
        return None


def _scripted(network: Any) -> bool:
    torch = need("torch")
    return any(isinstance(m, torch.jit.ScriptModule) for m in network.modules())


def _described(network: Any) -> Any:
    from mindport.adapters.torch import TorchAdapter

    return TorchAdapter().weights(network)


def _tensors_in(value: Any) -> Iterator[Any]:
    torch = need("torch")
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors_in(item)


def _port(name: str, tensor: Any) -> Port:
    return Port(name, str(tensor.dtype).removeprefix("torch."), tuple(int(d) for d in tensor.shape))


class _Record:
    """The graph as it grows. Tensors are known by identity, weakly, so that none lives longer than without us."""

    def __init__(self, network: Any) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self.network = network
        self.sound = True
        self.names: Any = WeakTensorKeyDictionary()
        self.inputs: list[Port] = []
        self.nodes: list[Node] = []
        self.constants: dict[str, Argument] = {}
        self.ops_seen: dict[str, int] = {}
        self.scope = [f"Default/network-{type(network).__name__}"]
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            self.names[tensor] = name

    def attempt(self, step: Callable[[], object]) -> None:
        """Makes one step of the recording; after one that failed, no more."""
        if self.sound:
            self.sound = _attempt(lambda: (step(),)) is not None

    def add_inputs(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Names the network's inputs as its `forward` does."""
        try:
            bound = inspect.signature(self.network.forward).bind(*inputs, **named).arguments
        except (TypeError, ValueError):  # forward is not a plain function, or the call itself is wrong and will say so
            bound = {f"inputs{i}": v for i, v in enumerate(inputs)} | named
        for label, value in bound.items():
            tensors = list(_tensors_in(value))
            for i, tensor in enumerate(tensors):
                name = label if len(tensors) == 1 else f"{label}{i}"
                self.names[tensor] = name
                self.inputs.append(_port(name, tensor))

    @contextmanager
    def scopes(self) -> Iterator[None]:
        """Follows which module is running."""
        handles = []
        for path, module in self.network.named_modules():
            if not path:
                continue
            label = f"{path.rpartition('.')[2]}-{type(module).__name__}"
            handles.append(module.register_forward_pre_hook(lambda *_, label=label: self.scope.append(label)))
            handles.append(module.register_forward_hook(lambda *_: self.scope.pop() and None, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def mode(self) -> Any:
        """Returns a context manager that notes every torch function called inside it."""
        torch = need("torch")
        record = self

        class Mode(torch.overrides.TorchFunctionMode):  # type: ignore[misc, name-defined]
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                result = func(*args, **(kwargs or {}))
                record.attempt(lambda: record.note(func, args, kwargs or {}, result))
                return result

        return Mode()

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Adds a node for one call that gave tensors."""
        name = getattr(func, "__name__", "")
        if name == "__get__":  # a property, such as Tensor.T
            name = getattr(getattr(func, "__self__", None), "__name__", "")
        results = list(_tensors_in(result))
        if not results or name in _SKIPPED:
            return
        op = _OPS.get(name) or "".join(part.capitalize() for part in name.strip("_").split("_")) or "Unknown"
        sources = tuple(self.name_of(t) for t in _tensors_in((args, kwargs)))
        made = self.add(op, sources, results[0], _attributes(func, args, kwargs))
        if len(results) > 1 or not isinstance(result, type(results[0])):
            for i, tensor in enumerate(results):
                self.names[tensor] = self.add("TupleGetItem", (made, self.constant(i)), tensor, {})
        else:
            self.names[results[0]] = made

    def add(self, op: str, inputs: tuple[str, ...], tensor: Any, attributes: dict[str, Argument]) -> str:
        """Appends a node and returns its name."""
        name = str(len(self.nodes) + 1)
        number = self.ops_seen.get(op, 0)
        self.ops_seen[op] = number + 1
        scope = "/".join(self.scope)
        self.nodes.append(Node(op, inputs, _port(name, tensor), scope, f"{scope}/{op}-op{number}", attributes))
        return name

    def name_of(self, tensor: Any) -> str:
        """Returns the name of a tensor; one that came from nowhere is a constant."""
        name = self.names.get(tensor)
        if name is None:
            name = self.names[tensor] = self.constant(f"Tensor{tuple(tensor.shape)}")
        return str(name)

    def constant(self, value: Argument) -> str:
        """Returns the name of a new constant."""
        name = f"cst{len(self.constants) + 1}"
        self.constants[name] = value
        return name

    def finish(self, result: Any, weights: GraphOutline) -> GraphOutline:
        """Returns the whole graph."""
        outputs = tuple(_port(self.name_of(tensor), tensor) for tensor in _tensors_in(result))
        return GraphOutline(
            weights.name, tuple(self.inputs), weights.weights, tuple(self.nodes), outputs, self.constants
        )


def _attributes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Argument]:
    """Returns the arguments that are plain values, by name where the function tells its names."""
    try:
        names = list(inspect.signature(func).parameters)
    except (TypeError, ValueError):  # a C function
        names = []
    named = {(names[i] if i < len(names) else f"arg{i}"): v for i, v in enumerate(args)} | kwargs
    return {key: value for key, value in named.items() if _plain(value)}


def _plain(value: Any) -> bool:
    if isinstance(value, (bool, int, float, str)):
        return True
    return isinstance(value, (tuple, list)) and bool(value) and all(isinstance(v, (int, float)) for v in value)
