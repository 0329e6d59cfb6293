"""What the first bytes of a file say about its format: one function per format, 0 (not it) to 100 (surely it).

Protobuf files have no magic number, so the first fields must tell:

===========  ========================================================================================
ckpt         field 1 holding a message whose field 1 is a name and whose next field is 2 or 3
graph_meta   field 1 = number 1 (``ir_version``), then field 4 (the graph)
onnx         field 1 = number (``ir_version``), then any other field of ONNX's `ModelProto`
mindir       field 1 = short text of digits and dots (``ir_version``, or a release number)
air          field 1 = any other text, or field 2, or field 7 holding a message that begins with a text
===========  ========================================================================================
"""

from __future__ import annotations

import re

from mindport.errors import FormatError
from mindport.wire.reader import read_varint

__all__ = ["air", "ckpt", "encrypted", "graph_meta", "mindir", "npz", "onnx", "pt", "safetensors"]

# what MindSpore puts before each block of an encrypted file: AES-GCM, AES-CBC, SM4-CBC (little-endian words)
ENCRYPTED = {0x7F3A5ED8: "AES-GCM", 0x7F3A5ED9: "AES-CBC", 0x7F3A5EDA: "SM4-CBC"}
_END_RECORD = b"\xc2\x3e"  # the key of field 1000; see ckpt_layout
_ONNX_FIELDS = {2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_LOCAL_FILE = b"PK\x03\x04"


def encrypted(head: bytes) -> str | None:
    """Returns the mode in which MindSpore encrypted the file, None if it is not encrypted."""
    return ENCRYPTED.get(int.from_bytes(head[:4], "little")) if len(head) >= 4 else None


def _field(head: bytes, pos: int) -> tuple[int, int, int, int]:
    """Returns `(number, wire type, value or length, position of the content)` of the field at `pos`; zeros if none."""
    try:
        key, pos = read_varint(head, pos, len(head))
        value = 0
        if key & 7 in (0, 2):
            value, pos = read_varint(head, pos, len(head))
    except FormatError:
        return 0, 0, 0, 0
    return key >> 3, key & 7, value, pos


def ckpt(head: bytes) -> int:
    """MindSpore checkpoint, plain or encrypted."""
    if encrypted(head):
        return 90
    if head.startswith(_END_RECORD):
        return 60  # one of ours without tensors
    number, wire, length, at = _field(head, 0)
    if (number, wire) != (1, 2):
        return 0
    inner, inner_wire, name_length, name_at = _field(head, at)
    if (inner, inner_wire) != (1, 2) or name_length > length:
        return 0
    after = name_at + name_length
    if after >= len(head):
        return 30  # a very long name
    return 90 if head[after] in (0x12, 0x1A) else 0


def _text_field(head: bytes) -> bytes | None:
    number, wire, length, at = _field(head, 0)
    return head[at : at + length] if (number, wire) == (1, 2) else None


def mindir(head: bytes) -> int:
    """MindSpore MindIR: `ir_version` is a text such as ``1.1`` or ``0.1.0``."""
    text = _text_field(head)
    return 80 if text is not None and re.fullmatch(rb"[0-9]{1,4}(\.[0-9]{1,4}){0,3}", text) else 0


def air(head: bytes) -> int:
    """Ascend AIR: the model's name, its version or its graph comes first."""
    number, wire, length, at = _field(head, 0)
    if (number, wire) == (1, 2):
        if ckpt(head) or mindir(head):
            return 0
        following = _field(head, at + length)[0] if at + length < len(head) else 7
        return 50 if following in (2, 3, 7, 11) else 0
    if (number, wire) == (2, 0):
        return 40 if _field(head, at)[0] in (3, 7, 11) else 0
    if (number, wire) == (7, 2):
        return 40 if _field(head, at)[:2] == (1, 2) else 0
    return 0


def onnx(head: bytes) -> int:
    """ONNX: a number as `ir_version`, or a graph or operator set first."""
    number, wire, value, at = _field(head, 0)
    if (number, wire) == (1, 0) and 0 < value < 100:
        return 60 if _field(head, at)[0] in _ONNX_FIELDS else 0
    if (number, wire) == (8, 2):
        return 30  # operator sets first: a legal, unusual order
    return 0


def graph_meta(head: bytes) -> int:
    """MindSpore `-graph.meta`: `ir_version` 1, then the graph in field 4."""
    number, wire, value, at = _field(head, 0)
    return 80 if (number, wire, value) == (1, 0, 1) and _field(head, at)[:2] == (4, 2) else 0


def safetensors(head: bytes) -> int:
    """safetensors: eight bytes of length, then a JSON object."""
    if len(head) < 9:
        return 0
    length = int.from_bytes(head[:8], "little")
    return 90 if 2 <= length <= 100_000_000 and head[8:9] == b"{" else 0


def _first_member(head: bytes) -> bytes | None:
    if not head.startswith(_LOCAL_FILE) or len(head) < 30:
        return None
    return head[30 : 30 + int.from_bytes(head[26:28], "little")]


def npz(head: bytes) -> int:
    """NumPy archive: a zip file whose first member is an `.npy` file (or that has no member)."""
    if head.startswith((b"PK\x05\x06", b"PK\x06\x06")):
        return 40  # an archive without arrays
    member = _first_member(head)
    return 90 if member is not None and member.endswith(b".npy") else 0


def pt(head: bytes) -> int:
    """PyTorch: the zip archive of `torch.save` (Lightning's and others' `.ckpt` too), or its old form."""
    member = _first_member(head)
    if member is not None:
        return 90 if member.endswith((b"/data.pkl", b"/version", b"/.format_version", b"/byteorder")) else 20
    # the old form begins with a pickled number, 0x1950a86a20f9469cfc6c
    return (
        90
        if re.match(rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", head, re.DOTALL)
        else 0
    )
