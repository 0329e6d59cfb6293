"""Formats are told by content when reading and by suffix when writing; their code is imported late."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindport.errors import MissingFile, NotAFile, UnrecognisedFormat, UsageError
from mindport.formats import ckpt, npz, registry, safetensors
from mindport.formats.registry import FORMATS, by_name, by_suffix, detect, module_of

WRITERS = {"ckpt": ckpt.write, "safetensors": safetensors.write, "npz": npz.write}


@pytest.mark.parametrize("name", WRITERS)
def test_content_decides_not_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "misleading.onnx"
    for weights in ({"w": np.ones((2, 3), np.float32)}, {}):
        path.write_bytes(b"".join(WRITERS[name](weights)))
        assert detect(path).name == name
        assert dict(module_of(detect(path)).read(path)).keys() == weights.keys()


def test_suffixes_lead_to_formats() -> None:
    for found in FORMATS:
        for suffix in found.suffixes:
            assert by_suffix(f"a/net{suffix}") is found
            assert by_suffix(Path(f"NET{suffix.upper()}")) is found
        assert by_name(found.name) is found
    assert by_suffix("net-graph.meta").name == "graph_meta"
    for bad in ("net.h5", "net", "ckpt"):
        with pytest.raises(UsageError, match=r"known endings: \.ckpt"):
            by_suffix(bad)
    with pytest.raises(UsageError, match="unknown format 'h5'"):
        by_name("h5")


def test_names_and_suffixes_are_unique() -> None:
    assert [f.name for f in FORMATS] == ["ckpt", "safetensors", "npz", "pt", "graph_meta", "onnx", "mindir", "air"]
    suffixes = [s for f in FORMATS for s in f.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert {f.kind for f in FORMATS} == {"weights", "graph"}


def test_what_is_no_known_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="nowhere"):
        detect(tmp_path / "nowhere.ckpt")
    with pytest.raises(NotAFile, match="is a directory"):
        detect(tmp_path)
    os.mkfifo(tmp_path / "pipe.ckpt")
    with pytest.raises(NotAFile, match="pipe, socket or device"):
        detect(tmp_path / "pipe.ckpt")
    with pytest.raises(NotAFile):
        detect("/dev/zero")
    for content, words in ((b"", "empty"), (b"<html>404</html>", "no format mindport knows"), (b"\n", "no format")):
        (tmp_path / "a.ckpt").write_bytes(content)
        with pytest.raises(UnrecognisedFormat, match=words):
            detect(tmp_path / "a.ckpt")


def test_importing_the_registry_imports_no_format() -> None:
    code = (
        "import sys, mindport.formats.registry; print(*[m for m in sys.modules if m.startswith('mindport.formats.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "mindport.formats.registry",
        "mindport.formats.sniff",
        "mindport.formats.mapped",
    }


def test_modules_have_the_functions_of_their_kind() -> None:
    for name in ("ckpt", "safetensors", "npz", "pt"):
        module = registry.module_of(by_name(name))
        assert callable(module.read)
        assert callable(module.write)
