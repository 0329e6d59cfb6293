"""The end record of mindport's `.ckpt` files, and `CheckpointInfo`: what a file says about itself.

The end record is a protobuf message in field 1000 of `Checkpoint`:

======  =======  ==========================================================================================
number  type     meaning
======  =======  ==========================================================================================
1       uint32   schema version (1)
2       string   producer, e.g. ``mindport 0.1.0``
3       uint64   number of records before it
4       string   JSON object: ``epoch``, ``step``, ``total_step``, ``metrics`` and whatever else the writer gave
5       bytes    XXH3-128 (16 bytes, canonical) of every byte before this content that is no tensor content
======  =======  ==========================================================================================

Field 5 stands last, so that its digest covers the other four too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mindport import __version__
from mindport.errors import CorruptFile, FormatError, UsageError
from mindport.formats.ckpt_layout import END_FIELD
from mindport.wire.reader import LENGTH, VARINT, iter_fields
from mindport.wire.writer import field_bytes, field_header, field_varint

__all__ = ["DIGEST_BYTES", "SCHEMA", "CheckpointInfo", "EndRecord", "end_record", "read_end_record"]

SCHEMA = 1
DIGEST_BYTES = 16
MAX_INFO_BYTES = 1 << 20  # of JSON: what a file says about itself, no place for state
_DIGEST_HEADER = field_header(5, DIGEST_BYTES)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says about itself; a file of MindSpore says little.

    Attributes:
        schema: version of mindport's own fields; 0 for a file without them.
        producer: program and version that wrote it; empty when unknown.
        epoch: epoch number from 1, None when unknown.
        step: step inside the epoch from 1, None when unknown.
        total_step: steps since training began, None when unknown.
        metrics: numbers the writer recorded, by name.
        extra: everything else the writer recorded.
        tensor_count: number of names in the file.
        digest: hexadecimal digest over the whole list of tensors (their checksums included); empty when unknown.
        has_checksums: every tensor is under a checksum.
        crc: the number in MindSpore's CRC trailer, None without one.
        encrypted: mode in which the file is encrypted, None if it is not.
    """

    schema: int = 0
    producer: str = ""
    epoch: int | None = None
    step: int | None = None
    total_step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    tensor_count: int = 0
    digest: str = ""
    has_checksums: bool = False
    crc: int | None = None
    encrypted: str | None = None


@dataclass(frozen=True)
class EndRecord:
    """A parsed end record; `digest_at` is the position of the digest in the file."""

    schema: int
    producer: str
    records: int
    info: Mapping[str, Any]
    digest: bytes
    digest_at: int


def end_record(records: int, info: Mapping[str, Any]) -> bytes:
    """Returns the end record up to its digest, which the caller appends (`DIGEST_BYTES` bytes).

    Raises:
        UsageError: `info` cannot be written as JSON, or is longer than 1 MiB.
    """
    try:
        text = json.dumps(dict(info), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        encoded = text.encode()
    except (TypeError, ValueError) as exc:
        raise UsageError(f"info of a checkpoint must be JSON: {exc}") from exc
    if len(encoded) > MAX_INFO_BYTES:
        raise UsageError(f"info of a checkpoint has {len(encoded)} bytes of JSON; at most {MAX_INFO_BYTES} fit")
    body = (
        field_varint(1, SCHEMA)
        + field_bytes(2, f"mindport {__version__}".encode())
        + field_varint(3, records)
        + field_bytes(4, encoded)
        + _DIGEST_HEADER
    )
    return field_header(END_FIELD, len(body) + DIGEST_BYTES) + body


def read_end_record(buf: memoryview, start: int, stop: int) -> EndRecord:
    """Returns the end record whose content is `buf[start:stop]`.

    Raises:
        FormatError: it is damaged, or of a later schema than this version reads.
    """
    found: dict[int, Any] = {}
    last = stop
    for number, wire, value, _, after in iter_fields(buf, start, stop):
        if (wire != VARINT if number in (1, 3) else wire != LENGTH) and number <= 5:
            raise CorruptFile(f"field {number} of the end record has wire type {wire}", offset=start)
        found[number] = value if wire == VARINT else bytes(buf[value:after])
        last = value
    schema = found.get(1, 0)
    if schema > SCHEMA:
        raise FormatError(f"the file has schema {schema}; this version of mindport reads up to {SCHEMA}", offset=start)
    if set(found) != {1, 2, 3, 4, 5} or schema != SCHEMA or len(found[5]) != DIGEST_BYTES:
        raise CorruptFile("the end record is damaged", offset=start)
    return EndRecord(schema, _text(found[2], start), found[3], _json(found[4], start), found[5], last)


def _text(data: bytes, at: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise CorruptFile("the end record holds text that is not UTF-8", offset=at) from exc


def _json(data: bytes, at: int) -> dict[str, Any]:
    if len(data) > MAX_INFO_BYTES:
        raise CorruptFile(f"the end record's description has {len(data)} bytes", offset=at)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise CorruptFile("the end record's description is not JSON", offset=at) from exc
    if not isinstance(value, dict):
        raise CorruptFile("the end record's description is no JSON object", offset=at)
    return value


def checkpoint_info(
    end: EndRecord | None, *, tensor_count: int, crc: int | None, encrypted: str | None
) -> CheckpointInfo:
    """Returns the info of a file with this end record (None: a file of MindSpore)."""
    if end is None:
        return CheckpointInfo(tensor_count=tensor_count, crc=crc, encrypted=encrypted)
    known = {k: _integer(end.info.get(k)) for k in ("epoch", "step", "total_step")}
    metrics = end.info.get("metrics", {})
    numbers = {k: v for k, v in metrics.items() if _is_number(v)} if isinstance(metrics, dict) else {}
    return CheckpointInfo(
        schema=end.schema,
        producer=end.producer,
        metrics=numbers,
        extra={k: v for k, v in end.info.items() if k not in known and k != "metrics"},
        tensor_count=tensor_count,
        digest=end.digest.hex(),
        has_checksums=True,
        crc=crc,
        encrypted=encrypted,
        **known,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
