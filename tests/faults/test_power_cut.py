"""Once `save` has returned, the checkpoint survives a power cut; and no power cut leaves a torn one or none at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faults import bed
from faults.powercut import Recorder
from mindport.checkpoint import restore, runs
from mindport.checkpoint.names import Key
from mindport.checkpoint.saver import Saver
from mindport.formats import ckpt
from mindport.storage import system
from mindport.storage.atomic import Durability, commit

SAVES = 7


def survey(tmp_path: Path, keep: str, durability: Durability = "power") -> tuple[int, list[str]]:
    """Saves under the model; returns how many directories a power cut could leave, and what is wrong with them."""
    live, after = tmp_path / "live", tmp_path / "after"
    live.mkdir()
    after.mkdir()
    returned = 0
    seen: set[tuple[int, tuple[tuple[str, bytes], ...]]] = set()
    wrong: list[str] = []

    def cut() -> None:
        for names in recorder.disk.found():
            state = (returned, tuple(sorted(names.items())))
            if state not in seen:
                seen.add(state)
                wrong.extend(_judge(after, names, returned))

    recorder = Recorder(live, cut)
    with bed.installed(recorder), runs.claim_new(live, "net") as claim:
        saver = Saver(live, claim.prefix, bed.KEEPS[keep], claim=claim, durability=durability)
        for total in range(1, SAVES + 1):
            array = np.random.default_rng(total).standard_normal((11, 13)).astype(np.float32)
            saver.save(Key("net", 1, total), {"w": array}, {"total_step": total})
            returned = total
            cut()
    return len(seen), wrong


def _judge(after: Path, names: dict[str, bytes], returned: int) -> list[str]:
    for old in after.iterdir():
        old.unlink()
    for name, content in names.items():
        (after / name).write_bytes(content)
    wrong = []
    for path in after.glob("*.ckpt"):
        try:
            file = ckpt.read(path, verify=True)
        except ValueError as exc:
            wrong.append(f"torn: {exc}")
            continue
        total = file.info.total_step
        expected = np.random.default_rng(total).standard_normal((11, 13)).astype(np.float32)
        if np.asarray(file["w"]).tobytes() != expected.tobytes():
            wrong.append(f"wrong: {path.name}")
    found = restore.newest_valid(after, "net")
    newest = 0 if found is None else found[1].info.total_step or 0
    if newest < returned:
        wrong.append(f"lost: saved {returned}, found {newest}")
    return wrong


@pytest.mark.parametrize("keep", bed.KEEPS)
def test_no_power_cut_loses_or_tears_anything(tmp_path: Path, keep: str) -> None:
    tried, wrong = survey(tmp_path, keep)
    assert tried > 50
    assert wrong == []


def test_the_model_sees_what_a_missing_sync_does(tmp_path: Path) -> None:
    """The same survey without syncs must find torn and lost files; otherwise it would prove nothing."""
    _, wrong = survey(tmp_path, "keep1", "process")
    assert any(text.startswith("torn") for text in wrong)
    assert any(text.startswith("lost") for text in wrong)


def test_the_model_sees_what_a_missing_directory_sync_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindport.storage.atomic._Target._sync_directory", lambda self: None)
    _, wrong = survey(tmp_path, "keep1")
    assert any(text.startswith("lost") for text in wrong)
    assert not any(text.startswith("torn") for text in wrong)


def test_replacing_a_file_leaves_the_old_or_the_new_one(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    contents: set[bytes] = set()

    def cut() -> None:
        contents.update(names.get("model.onnx", b"absent") for names in recorder.disk.found())

    recorder = Recorder(live, cut)
    with bed.installed(recorder):
        commit(live / "model.onnx", b"old" * 100)
        contents.clear()
        commit(live / "model.onnx", b"new" * 120)
    assert contents == {b"old" * 100, b"new" * 120}


def test_real_calls_are_the_default() -> None:
    assert type(system.calls) is system.System
