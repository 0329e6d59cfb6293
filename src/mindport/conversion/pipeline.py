"""The ways from one dialect to another, as plain lists of functions. Read from top to bottom.

to_target(model, "mindspore")    ONNX  -> MindIR operators
to_target(model, "ge")           ONNX  -> Ascend IR operators
to_onnx(model)                   either of them -> ONNX
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import onnx_ir as ir

from mindport.conversion.air_check import refuse
from mindport.conversion.fold import fold
from mindport.conversion.legalise import (
    bodies,
    constants,
    drop_unused,
    drop_zero_bias,
    forget_source,
    hub_opset,
    inline,
    plain_initializers,
)
from mindport.conversion.lift import dialect_of, lift
from mindport.conversion.lower import lower
from mindport.conversion.sequences import plain_splits
from mindport.dialects.literals import GE

__all__ = ["FROM_FOREIGN", "TIDY", "TO_HUB", "for_onnx", "to_hub", "to_onnx", "to_target"]

Step: TypeAlias = Callable[[ir.Model], ir.Model]

# ONNX of any producer -> the form rules know
TO_HUB: Sequence[Step] = (
    plain_initializers,
    inline,  # before the opset is raised: the version converter does not enter functions
    hub_opset,
    constants,  # before folding, which looks at initializers only
    fold,
    plain_splits,  # after folding, which finds the sizes
    drop_zero_bias,
    drop_unused,
)

# ONNX as a network's exporter gives it -> what is written as ONNX
TIDY: Sequence[Step] = (
    plain_initializers,
    inline,
    constants,
    fold,
    drop_zero_bias,
    drop_unused,
    forget_source,
)

# a lifted graph -> what is written as ONNX
FROM_FOREIGN: Sequence[Step] = (
    fold,  # removes the shape arithmetic that foreign literals turned into
    drop_unused,
)


def to_hub(model: ir.Model) -> ir.Model:
    """Returns a copy of an ONNX model, legalised, at the hub opset; weights are shared with the original."""
    copy = model.clone()
    for step in TO_HUB:
        copy = step(copy)
    return copy


def to_target(model: ir.Model, domain: str) -> ir.Model:
    """Returns an ONNX model in the operators of `domain`.

    Raises:
        UnsupportedOps: every operator that has no way there, with node paths.
    """
    hub = to_hub(model)
    hub = bodies(hub, domain)
    hub = drop_unused(fold(hub))  # bodies bring new shape arithmetic
    lowered = lower(hub, domain)
    return refuse(lowered) if domain == GE else lowered


def for_onnx(model: ir.Model) -> ir.Model:
    """Returns a copy of an ONNX model as it is written: constants folded, opset kept, no paths of the source."""
    copy = model.clone()
    for step in TIDY:
        copy = step(copy)
    return copy


def to_onnx(model: ir.Model) -> ir.Model:
    """Returns a model of any dialect in ONNX; an ONNX model is returned as it is.

    Raises:
        UnsupportedOps: every operator that has no way to ONNX, with node paths.
    """
    if not dialect_of(model):
        return model
    lifted = lift(model)
    for step in FROM_FOREIGN:
        lifted = step(lifted)
    return lifted
