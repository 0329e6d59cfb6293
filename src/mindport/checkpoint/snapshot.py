"""A run at one moment: weights, and everything else that decides how it goes on, in one file.

The weights stand first under their own names. The state is one JSON text (see `statetree`), stored as a `UInt8` tensor
called ``__mindport__.state``, and the tensors it refers to, called ``__mindport__.<path>``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mindport.checkpoint.statetree import AsRef, MakeTensor, pack, unpack
from mindport.errors import CorruptFile, UsageError, printable
from mindport.formats.ckpt import RESERVED
from mindport.tensors import ArrayRef, Tensor, TensorRef

__all__ = ["STATE", "Snapshot", "has_state", "state_in", "weights_in"]

STATE = f"{RESERVED}state"


@dataclass
class Snapshot:
    """What one checkpoint holds.

    Attributes:
        weights: parameters and buffers by name; may be live views.
        state: tree of everything else (a dict), or None for weights alone.
        info: what the file says about itself: ``epoch``, ``step``, ``total_step``, ``metrics``, ``aliases``.
    """

    weights: Mapping[str, TensorRef]
    state: dict[str, Any] | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def records(self, as_tensor: AsRef) -> dict[str, TensorRef]:
        """Returns all tensors of the file in order.

        Raises:
            UsageError: a weight has a name that is reserved for state.
            Unsupported: the state holds an object that cannot be stored exactly.
        """
        refuse_reserved(self.weights)
        records = dict(self.weights)
        if self.state is None:
            return records
        tree, tensors = pack(self.state, RESERVED, as_tensor)
        text = json.dumps(tree, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        records[STATE] = ArrayRef(STATE, np.frombuffer(text.encode("ascii"), np.uint8))
        return records | tensors


def refuse_reserved(names: Iterator[str] | Mapping[str, Any]) -> None:
    """Raises UsageError if one of `names` begins with mindport's own prefix."""
    taken = [name for name in names if name.startswith(RESERVED)]
    if taken:
        raise UsageError(f"the name {printable(taken[0])!r} begins with {RESERVED!r}, which is reserved for state")


def has_state(file: Mapping[str, Any]) -> bool:
    """True if a checkpoint holds the state of a run, not weights alone."""
    return STATE in file


def weights_in(file: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the tensors of a checkpoint that are weights, in file order."""
    return {
        name: value
        for name, value in ((n, file[n]) for n in file if not n.startswith(RESERVED))
        if isinstance(value, Tensor)
    }


def state_in(file: Mapping[str, Any], make_tensor: MakeTensor) -> dict[str, Any]:
    """Returns the state tree of a checkpoint.

    Raises:
        CorruptFile: there is none, or it is damaged.
    """
    stored = file.get(STATE)
    if not isinstance(stored, Tensor):
        raise CorruptFile("the checkpoint holds weights only, no state to go on from")
    try:
        tree = json.loads(bytes(stored.numpy()).decode("ascii"))
    except (ValueError, RecursionError) as exc:
        raise CorruptFile(f"the stored state is not JSON: {exc}") from exc
    tensors = {n: file[n] for n in file if n.startswith(RESERVED) and isinstance(file[n], Tensor)}
    state = unpack(tree, tensors, make_tensor)
    if not isinstance(state, dict):
        raise CorruptFile("the stored state is no dict")
    return state
