"""google.protobuf message classes made from our field tables, in a descriptor pool of their own.

Nothing is registered in the default pool: MindSpore registers its own messages there.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from mindport.wire.spec import Spec

_TYPES = descriptor_pb2.FieldDescriptorProto
KINDS = {
    "int32": _TYPES.TYPE_INT32,
    "int64": _TYPES.TYPE_INT64,
    "uint32": _TYPES.TYPE_UINT32,
    "uint64": _TYPES.TYPE_UINT64,
    "bool": _TYPES.TYPE_BOOL,
    "enum": _TYPES.TYPE_INT32,  # same wire form; keeps unknown enum numbers
    "float": _TYPES.TYPE_FLOAT,
    "double": _TYPES.TYPE_DOUBLE,
    "fixed32": _TYPES.TYPE_FIXED32,
    "fixed64": _TYPES.TYPE_FIXED64,
    "string": _TYPES.TYPE_STRING,
    "bytes": _TYPES.TYPE_BYTES,
    "message": _TYPES.TYPE_MESSAGE,
    "map": _TYPES.TYPE_MESSAGE,
}


def message_class(spec: Spec) -> Any:
    """Returns the google.protobuf class for `spec` (proto2) and everything it contains."""
    specs: dict[str, Spec] = {}

    def collect(one: Spec) -> None:
        if one.name not in specs:
            specs[one.name] = one
            for field in one.fields.values():
                if field.of is not None:
                    collect(field.of())

    collect(spec)
    file = descriptor_pb2.FileDescriptorProto(name="private.proto", package="private", syntax="proto2")
    for one in specs.values():
        message = file.message_type.add(name=one.name)
        for number, f in one.fields.items():
            label = _TYPES.LABEL_REPEATED if f.many else _TYPES.LABEL_OPTIONAL
            field = message.field.add(name=f.name, number=number, type=KINDS[f.kind], label=label)
            if f.of is not None:
                field.type_name = f".private.{f.of().name}"
            if f.packed:
                field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"private.{spec.name}"))
