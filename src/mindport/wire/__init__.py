"""Protobuf's wire format without protobuf: lazy, bounds-checked, able to run in MindSpore's process.

`reader` walks fields of a buffer, `writer` builds chunks without copying large content, `spec` turns field
tables into typed messages that keep what they do not know. No message of any format is named here.
"""
