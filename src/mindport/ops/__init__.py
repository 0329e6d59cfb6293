"""Op cards: the mapping of every operator, in both directions, with the samples that prove it.

Importing this package registers all cards (plain imports below: no scanning, no entry points).
"""

from mindport.ops.card import (
    TARGETS,
    Card,
    Rule,
    air,
    card,
    cards,
    lift_rule,
    lifted_ops,
    lifts,
    lower_rule,
    mindir,
)

# isort: split
# one line per family, cards first: importing them fills the registry
# AIR bindings and lifts that are more than a name stand in files of their own: cards leave `air` out there
import mindport.ops.activation
import mindport.ops.air_activation
import mindport.ops.air_conv
import mindport.ops.air_elementwise
import mindport.ops.air_index
import mindport.ops.air_norm
import mindport.ops.air_quant
import mindport.ops.air_reduce
import mindport.ops.air_resize
import mindport.ops.air_rnn
import mindport.ops.air_shape
import mindport.ops.compose
import mindport.ops.conv
import mindport.ops.elementwise
import mindport.ops.index
import mindport.ops.matmul
import mindport.ops.norm
import mindport.ops.pool
import mindport.ops.quant
import mindport.ops.reduce
import mindport.ops.resize
import mindport.ops.rnn
import mindport.ops.shape
import mindport.ops.slicing
import mindport.ops.structure  # noqa: F401

__all__ = [
    "TARGETS",
    "Card",
    "Rule",
    "air",
    "card",
    "cards",
    "lift_rule",
    "lifted_ops",
    "lifts",
    "lower_rule",
    "mindir",
]
