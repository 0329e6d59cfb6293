"""Any `state_dict` tree as JSON plus named tensors, and back, exactly.

JSON alone loses the difference between a list and a tuple, between the keys 1 and "1", between -0.0 and 0, and has no
infinity. So only what JSON keeps is written as it is (None, bool, int, str, list, and dict with ordinary text keys);
all else becomes a JSON object with one key that begins with ``$``:

================================  ==================================================================
``{"$float": "0x1.8p+1"}``        a float (hexadecimal: exact), ``inf``, ``-inf``, ``nan``
``{"$tuple": [...]}``             a tuple
``{"$dict": [[key, value], ..]}`` a dict whose keys are not all ordinary texts
``{"$ordered": ...}``             `OrderedDict`, ``$counter``: `Counter`, ``$set``: a set of sortable values
``{"$bytes": "base64"}``          bytes
``{"$complex": [re, im]}``        a complex number
``{"$numpy": name}``              a NumPy array stored as the tensor `name`; ``$scalar``: a NumPy scalar
``{"$tensor": name}``             a framework's tensor stored as the tensor `name`
``{"$same": name}``               the same tensor object as an earlier one (kept the same object)
================================  ==================================================================

No code is stored and none is run: an object of any other kind is refused by its path in the tree.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from mindport.dtypes import by_numpy
from mindport.errors import CorruptFile, Unsupported, UnsupportedDType, printable
from mindport.tensors import ArrayRef, TensorRef

__all__ = ["JSON", "pack", "unpack"]

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
MAX_DEPTH = 200
_MAPPINGS: dict[type, str] = {dict: "$dict", OrderedDict: "$ordered", Counter: "$counter"}

AsRef = Callable[[str, Any], TensorRef | None]
"""`(name, value)` -> the value as a TensorRef when it is a framework's tensor, else None."""

MakeTensor = Callable[[TensorRef], Any]
"""A stored tensor -> a framework's own tensor with memory of its own."""


def pack(tree: Any, prefix: str, as_tensor: AsRef) -> tuple[JSON, dict[str, TensorRef]]:
    """Returns `tree` as JSON and the tensors it refers to, by name in order of appearance.

    Tensors are viewed, not copied. Each is named `prefix` + its path in the tree, joined by dots.

    Raises:
        Unsupported: an object that cannot be stored exactly; the message holds its path.
    """
    packer = _Packer(prefix, as_tensor)
    return packer.value(tree, (), 0), packer.tensors


class _Packer:
    def __init__(self, prefix: str, as_tensor: AsRef) -> None:
        self.prefix = prefix
        self.as_tensor = as_tensor
        self.tensors: dict[str, TensorRef] = {}
        self.seen: dict[int, tuple[Any, str]] = {}  # id -> (object kept alive, name)

    def value(self, value: Any, path: tuple[str, ...], depth: int) -> JSON:
        if depth > MAX_DEPTH:
            raise Unsupported(f"{_where(path)} is nested deeper than {MAX_DEPTH} levels")
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value  # type: ignore[no-any-return]
        if kind is float:
            return {"$float": _float(value)}
        if kind is complex:
            return {"$complex": [_float(value.real), _float(value.imag)]}
        if kind is bytes:
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        if kind in (list, tuple):
            items: list[JSON] = [self.value(v, (*path, str(i)), depth + 1) for i, v in enumerate(value)]
            return items if kind is list else {"$tuple": items}
        if kind in (dict, OrderedDict, Counter):
            return self.mapping(value, kind, path, depth)
        if kind in (set, frozenset):
            return {f"${kind.__name__}": [self.value(v, (*path, "*"), depth + 1) for v in _sorted(value, path)]}
        if isinstance(value, (np.ndarray, np.generic)):
            return self.numpy(value, path)
        ref = self.as_tensor(".".join((self.prefix.rstrip("."), *path)), value)
        if ref is None:
            raise Unsupported(
                f"{_where(path)} is a {kind.__module__}.{kind.__qualname__}, which cannot be stored exactly; "
                "a state_dict must hold numbers, texts, lists, dicts and tensors"
            )
        return self.keep("$tensor", value, ref, path)

    def mapping(self, value: Any, kind: type, path: tuple[str, ...], depth: int) -> JSON:
        plain = kind is dict and all(type(k) is str and not k.startswith("$") for k in value)
        if plain:
            return {k: self.value(v, (*path, k), depth + 1) for k, v in value.items()}
        pairs: list[JSON] = [
            [self.value(k, (*path, f"key {k!r}"), depth + 1), self.value(v, (*path, str(k)), depth + 1)]
            for k, v in value.items()
        ]
        return {_MAPPINGS[kind]: pairs}

    def numpy(self, value: Any, path: tuple[str, ...]) -> JSON:
        scalar = isinstance(value, np.generic)
        array = np.asarray(value)
        try:
            by_numpy(array.dtype)
        except UnsupportedDType as exc:
            raise Unsupported(f"{_where(path)} is a NumPy value of type {array.dtype}, which cannot be stored") from exc
        if type(value) is not np.ndarray and not scalar:
            raise Unsupported(f"{_where(path)} is a {type(value).__qualname__}, not a plain NumPy array")
        if array.dtype.byteorder == ">":
            raise Unsupported(f"{_where(path)} is a big-endian NumPy array; store it in native order")
        return self.keep("$scalar" if scalar else "$numpy", value, ArrayRef("", array), path)

    def keep(self, tag: str, value: Any, ref: TensorRef, path: tuple[str, ...]) -> JSON:
        known = self.seen.get(id(value))
        if known is not None:
            return {"$same": known[1]}
        name = base = ".".join((self.prefix.rstrip("."), *path)) if path else f"{self.prefix.rstrip('.')}.value"
        count = 1
        while name in self.tensors:  # the keys 1 and "1" give the same path
            count += 1
            name = f"{base}~{count}"
        self.tensors[name] = ref
        self.seen[id(value)] = (value, name)
        return {tag: name}


def _float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return value.hex() if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _sorted(value: Any, path: tuple[str, ...]) -> list[Any]:
    try:
        return sorted(value)
    except TypeError as exc:
        raise Unsupported(f"{_where(path)} is a set of values without order") from exc


def _where(path: tuple[str, ...]) -> str:
    return f"state {printable('.'.join(path))!r}" if path else "the state"


def unpack(tree: JSON, tensors: Mapping[str, TensorRef], make_tensor: MakeTensor) -> Any:
    """Returns the object that `pack` was given. NumPy arrays are copies, so the file behind them may go away.

    Raises:
        CorruptFile: `tree` is no such JSON, or refers to a tensor that is not there.
    """
    return _Unpacker(tensors, make_tensor).value(tree, 0)


class _Unpacker:
    def __init__(self, tensors: Mapping[str, TensorRef], make_tensor: MakeTensor) -> None:
        self.tensors = tensors
        self.make_tensor = make_tensor
        self.made: dict[str, Any] = {}

    def value(self, tree: JSON, depth: int) -> Any:
        if depth > 2 * MAX_DEPTH + 10:
            raise CorruptFile("stored state is nested too deep")
        if tree is None or isinstance(tree, (bool, int, str)):
            return tree
        if isinstance(tree, list):
            return [self.value(v, depth + 1) for v in tree]
        if not isinstance(tree, dict):
            raise CorruptFile(f"stored state holds a bare {type(tree).__name__}")
        if len(tree) == 1:
            (tag, content), *_ = tree.items()
            if tag.startswith("$"):
                return self.tagged(tag, content, depth)
        return {k: self.value(v, depth + 1) for k, v in tree.items()}

    def tagged(self, tag: str, content: JSON, depth: int) -> Any:
        try:
            if tag == "$float":
                return float.fromhex(_text(content))
            if tag == "$complex":
                real, imag = _list(content)
                return complex(float.fromhex(_text(real)), float.fromhex(_text(imag)))
            if tag == "$bytes":
                return base64.b64decode(_text(content), validate=True)
            if tag in ("$tuple", "$set", "$frozenset"):
                items = [self.value(v, depth + 1) for v in _list(content)]
                return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[tag](items)
            if tag in ("$dict", "$ordered", "$counter"):
                return self.mapping({"$dict": dict, "$ordered": OrderedDict, "$counter": Counter}[tag], content, depth)
            if tag in ("$numpy", "$scalar", "$tensor", "$same"):
                return self.tensor(tag, _text(content))
        except (TypeError, ValueError, OverflowError) as exc:
            if isinstance(exc, CorruptFile):
                raise
            raise CorruptFile(f"stored state holds a damaged {tag[1:]}: {exc}") from exc
        raise CorruptFile(f"stored state holds an unknown kind {printable(tag)!r}; a later mindport wrote it")

    def mapping(self, kind: type, content: JSON, depth: int) -> Any:
        made = kind()
        for pair in _list(content):
            key, value = _list(pair)
            made[self.value(key, depth + 1)] = self.value(value, depth + 1)
        return made

    def tensor(self, tag: str, name: str) -> Any:
        if tag == "$same":
            if name not in self.made:
                raise CorruptFile(f"stored state refers to {printable(name)!r} before it comes")
            return self.made[name]
        ref = self.tensors.get(name)
        if ref is None:
            raise CorruptFile(f"stored state refers to the tensor {printable(name)!r}, which is not in the file")
        if tag == "$tensor":
            made = self.make_tensor(ref)
        else:
            array = np.array(ref.numpy())
            made = array if tag == "$numpy" else array[()]
        self.made[name] = made
        return made


def _list(value: JSON) -> list[JSON]:
    if not isinstance(value, list):
        raise CorruptFile("stored state holds something else where a list must be")
    return value


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise CorruptFile("stored state holds something else where a text must be")
    return value
