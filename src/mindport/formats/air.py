"""AIR files (`.air`): Ascend IR, what the `atc` tool of CANN reads with ``--framework=1``.

One protobuf message, `ge.proto.ModelDef`; see ``docs/formats/air.md``. Reading and writing work on `onnx_ir` graphs
whose nodes have domain ``"ge"``; no ONNX operator is known here.
"""

from __future__ import annotations

import onnx_ir as ir

from mindport.dialects.ge_check import Violation, check_air
from mindport.formats.air_read import parse, read
from mindport.formats.air_write import LIMIT_BYTES, SPLIT_BYTES, files, to_message, write

__all__ = ["LIMIT_BYTES", "SPLIT_BYTES", "Violation", "check", "files", "parse", "read", "to_message", "write"]


def check(model: ir.Model) -> list[Violation]:
    """Returns everything the operator table says against the file that `model` came from or would become."""
    return check_air(to_message(model))
