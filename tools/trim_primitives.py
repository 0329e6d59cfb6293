"""Makes `src/mindport/dialects/data/mindspore.json.gz` from a full table of MindSpore's primitives.

    python tools/trim_primitives.py FULL.json.gz src/mindport/dialects/data/mindspore.json.gz

The full table holds, for each primitive of MindSpore 2.10.0, the arguments of its operator definition and the
parameters of its Python class. Kept here: what a writer must know to build a node that MindSpore accepts. Added here:
`FACTS`, what only a run or an exported file shows (attribute names as stored in files, inputs of classic primitives).
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any


def _attrs(required: str, **defaults: Any) -> list[dict[str, Any]]:
    """Returns attribute rows: the names in `required` without, the others with a default."""
    rows: list[dict[str, Any]] = [{"name": n, "required": True} for n in required.split()]
    return rows + [{"name": n, "default": v} for n, v in defaults.items()]


# inputs: names, "*name" takes any number; attrs: exactly what files hold, because a loader does not run the Python
# class that would fill the rest
FACTS: dict[str, dict[str, Any]] = {
    "AdaptiveMaxPool2D": {"inputs": "x", "outputs": "y"},
    "BitwiseAnd": {"inputs": "x y", "outputs": "z"},
    "BitwiseOr": {"inputs": "x y", "outputs": "z"},
    "BitwiseXor": {"inputs": "x y", "outputs": "z"},
    "Conv2D": {
        "attrs": _attrs(
            "out_channel kernel_size pad_mode pad stride dilation group",
            mode=1,
            format="NCHW",
            pad_list=None,
            groups=None,
        )
    },
    "Conv2DTranspose": {
        "inputs": "out_backprop filter input_sizes",
        "outputs": "output",
        "attrs": _attrs(
            "out_channel kernel_size pad_mode pad pad_list stride dilation group", mode=1, format="NCHW", groups=None
        ),
    },
    "Conv3D": {
        "attrs": _attrs(
            "out_channel kernel_size pad_mode pad pad_list stride dilation strides dilations group groups",
            mode=1,
            format="NCDHW",
            offset_x=0,
        )
    },
    "Conv3DTranspose": {
        "attrs": _attrs(
            "in_channel out_channel kernel_size pad_mode pad pad_list stride dilation strides dilations group groups"
            " output_padding input_size",
            mode=1,
            format="NCDHW",
        )
    },
    "Depend": {"inputs": "value expression", "outputs": "output", "attrs": _attrs("", side_effect_propagate=1)},
    "LSTM": {"inputs": "x hx cx w", "outputs": "output hy cy reserve states"},
    "MakeTuple": {"inputs": "*items", "outputs": "tuple", "kind": "tuple_any"},
    "make_list": {"inputs": "*items", "outputs": "list", "kind": "tuple_any"},
    "MaxPool": {
        "inputs": "x",
        "outputs": "output",
        "attrs": _attrs("kernel_size strides pad_mode", format="NCHW"),
    },
    "MaxPool3D": {
        "attrs": _attrs("kernel_size strides pad_mode", pad_list=(0,) * 6, ceil_mode=0, format="NCDHW"),
    },
    "AvgPool3D": {
        "attrs": _attrs(
            "kernel_size strides pad_mode",
            pad=0,
            ceil_mode=False,
            count_include_pad=True,
            divisor_override=0,
            format="NCDHW",
            pad_list=(0,) * 6,
        ),
    },
    "MaxPool3DWithArgmax": {
        "attrs": _attrs("ksize strides pads dilation", ceil_mode=False, format="NCDHW", argmax_type="int64")
    },
    "Mod": {"inputs": "x y", "outputs": "z"},
    "Pad": {"attrs": _attrs("paddings")},
    "Partial": {"inputs": "function *args", "outputs": "closure", "kind": "closure"},
    "Return": {"inputs": "value", "outputs": "output"},
    "ROIAlign": {"inputs": "features rois", "outputs": "output"},
    "Switch": {"inputs": "condition true_branch false_branch", "outputs": "output", "kind": "closure"},
    "TensorToScalar": {"inputs": "tensor", "outputs": "scalar", "kind": "number"},
    "TensorToTuple": {"inputs": "tensor", "outputs": "tuple", "kind": "tuple_int"},
    "Shape": {"outputs": "shape", "kind": "tuple_int", "inputs": "tensor"},
    "TupleGetItem": {"inputs": "tuple index", "outputs": "item", "kind": "?"},
    "UpdateState": {"inputs": "monad *items", "outputs": "monad", "kind": "monad"},
}
# attributes that MindSpore leaves in exported files without reading them, or that change nothing for inference
ALWAYS_ALLOWED = ["input_names", "output_names"]


def _argument(raw: dict[str, Any]) -> dict[str, Any]:
    kept = {k: raw[k] for k in ("name", "type", "handler", "accepts", "optional") if raw.get(k)}
    if "default" in raw:
        kept["default"] = raw["default"]
    return kept


def _names(text: str) -> list[dict[str, Any]]:
    return [{"name": n.lstrip("*"), "type": "?", **({"many": True} if n.startswith("*") else {})} for n in text.split()]


def trim(full: dict[str, Any]) -> dict[str, Any]:
    """Returns the table as the package carries it."""
    ops: dict[str, Any] = {}
    for name in sorted({*full, *FACTS}):
        raw = full.get(name, {"is_primitive_function": False, "inputs": [], "attrs": [], "outputs": []})
        row: dict[str, Any] = {"inputs": [_argument(i) for i in raw["inputs"]]}
        if raw["is_primitive_function"]:
            row["function"] = True
        else:
            extra = [{"name": a, "default": None} for a in raw.get("attrs_added_in_init", [])]
            row["attrs"] = raw["attrs"] + extra
            # a class that lists no inputs does not mean that there are none
            row["open"] = not raw["inputs"]
        row["outputs"] = [[o["name"], o.get("type", "tensor")] for o in raw["outputs"]]
        if raw.get("cpu_kernel"):
            row["cpu"] = True
        fact = FACTS.get(name, {})
        if "inputs" in fact:
            row["inputs"], row["open"] = _names(fact["inputs"]), False
            kind = fact.get("kind", "tensor")
            row["outputs"] = [[o, kind] for o in fact["outputs"].split()]
        row["attrs"] = fact.get("attrs", row.get("attrs", []))
        ops[name] = {k: v for k, v in row.items() if v not in ([], False)}
    return {"source": "MindSpore 2.10.0", "ops": ops}


def main(argv: list[str]) -> None:
    """Reads the full table argv[1], writes the trimmed one to argv[2]."""
    full = json.loads(gzip.decompress(Path(argv[1]).read_bytes()))["primitives"]
    text = json.dumps(trim(full), separators=(",", ":"), sort_keys=True)
    Path(argv[2]).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv)
