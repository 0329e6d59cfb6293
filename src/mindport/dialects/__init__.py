"""Foreign operator sets: what their operators are called, what they take, and a builder that checks every call.

A node's domain names its dialect: ``""`` is ONNX, ``"mindspore"`` MindIR, ``"ge"`` Ascend IR. All three live in the
same `onnx_ir` graph; `literals` says how values that ONNX does not have (scalars, tuples, None, types) ride in it.
"""
