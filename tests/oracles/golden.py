"""The golden checkpoint files: written by real MindSpore 2.10.0, with the values it was given."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "ckpt"
FILES: dict[str, dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["files"]


def expected(name: str) -> dict[str, Any]:
    """name -> text, or (type spelled as in the file, shape, content bytes)."""
    return {
        key: value["text"]
        if "text" in value
        else (value["type"], tuple(value["shape"]), base64.b64decode(value["content"]))
        for key, value in FILES[name]["expected"].items()
    }


def described(values: Any) -> dict[str, Any]:
    """What mindport read, in the same form."""
    return {
        key: value if isinstance(value, str) else (value.dtype.ckpt, value.shape, b"".join(value.chunks()))
        for key, value in values.items()
    }
