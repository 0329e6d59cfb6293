"""How each PyTorch layer's parameters are called, and laid out, in the MindSpore Cell that computes the same.

Every row was measured on torch 2.13 and MindSpore 2.10: weights copied by it into the Cell give the same outputs
(the tests repeat that). `mindspore.mint.nn` Cells use PyTorch's names unchanged, so they need no table.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["LAYERS", "SAME_NAMES", "Layer", "P"]


@dataclass(frozen=True)
class P:
    """One parameter of a layer.

    Attributes:
        torch: its name in the PyTorch layer.
        mindspore: its name in the Cell.
        insert_axis: MindSpore's shape has an extra axis of length 1 here (1-d convolutions are 2-d ones there).
        fill: value for the Cell when the PyTorch layer lacks the parameter; None when the Cell lacks it too.
    """

    torch: str
    mindspore: str
    insert_axis: int | None = None
    fill: float | None = None


@dataclass(frozen=True)
class Layer:
    """One layer kind.

    Attributes:
        cell: name of the MindSpore Cell.
        params: parameters whose name or layout differs, or which one side may lack.
        drop: PyTorch buffers without a counterpart.
        children: sub-layer attributes that have another name in the Cell.
        filled_shape: attribute of the PyTorch layer that gives the shape of filled parameters.
    """

    cell: str
    params: tuple[P, ...] = ()
    drop: tuple[str, ...] = ()
    children: dict[str, str] = field(default_factory=dict)
    filled_shape: str = ""


_STATISTICS = ("num_batches_tracked",)
_AFFINE = (P("weight", "gamma", fill=1.0), P("bias", "beta", fill=0.0))
_NORM = (*_AFFINE, P("running_mean", "moving_mean", fill=0.0), P("running_var", "moving_variance", fill=1.0))
_NORM_3D = tuple(P(p.torch, f"bn2d.{p.mindspore}", fill=p.fill) for p in _NORM)
_TRANSFORMER = {"linear1": "dense1", "linear2": "dense2"}

LAYERS: dict[str, Layer] = {
    "Linear": Layer("Dense"),
    "Bilinear": Layer("BiDense"),
    "Conv1d": Layer("Conv1d", (P("weight", "weight", insert_axis=2),)),
    "Conv2d": Layer("Conv2d"),
    "Conv3d": Layer("Conv3d"),
    "ConvTranspose1d": Layer("Conv1dTranspose", (P("weight", "weight", insert_axis=2),)),
    "ConvTranspose2d": Layer("Conv2dTranspose"),
    "ConvTranspose3d": Layer("Conv3dTranspose"),
    "BatchNorm1d": Layer("BatchNorm1d", _NORM, _STATISTICS, filled_shape="num_features"),
    "BatchNorm2d": Layer("BatchNorm2d", _NORM, _STATISTICS, filled_shape="num_features"),
    "SyncBatchNorm": Layer("SyncBatchNorm", _NORM, _STATISTICS, filled_shape="num_features"),
    "BatchNorm3d": Layer("BatchNorm3d", _NORM_3D, _STATISTICS, filled_shape="num_features"),
    "InstanceNorm1d": Layer("InstanceNorm1d", _NORM, _STATISTICS, filled_shape="num_features"),
    "InstanceNorm2d": Layer("InstanceNorm2d", _NORM, _STATISTICS, filled_shape="num_features"),
    "InstanceNorm3d": Layer("InstanceNorm3d", _NORM, _STATISTICS, filled_shape="num_features"),
    "LayerNorm": Layer("LayerNorm", _AFFINE, filled_shape="normalized_shape"),
    "GroupNorm": Layer("GroupNorm", _AFFINE, filled_shape="num_channels"),
    "Embedding": Layer("Embedding", (P("weight", "embedding_table"),)),
    "PReLU": Layer("PReLU", (P("weight", "w"),)),
    "RNN": Layer("RNN"),
    "LSTM": Layer("LSTM"),
    "GRU": Layer("GRU"),
    "RNNCell": Layer("RNNCell"),
    "LSTMCell": Layer("LSTMCell"),
    "GRUCell": Layer("GRUCell"),
    "MultiheadAttention": Layer("MultiheadAttention"),
    "TransformerEncoderLayer": Layer("TransformerEncoderLayer", children=_TRANSFORMER),
    "TransformerDecoderLayer": Layer("TransformerDecoderLayer", children=_TRANSFORMER),
}

# containers hold layers under the same names on both sides
SAME_NAMES = frozenset(
    ("Sequential", "ModuleList", "ModuleDict", "TransformerEncoder", "TransformerDecoder", "Transformer")
)
