"""Which run a process is: numbered as the tutorial says, claimed exclusively, found again to go on with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindport.checkpoint import runs
from mindport.checkpoint.names import Key, graph_meta_name
from mindport.checkpoint.policy import All
from mindport.checkpoint.saver import Saver
from mindport.errors import InUse, MissingFile, NotADirectory, UsageError, WrongTypeError
from mindport.events import Event, Skipped, subscribe
from mindport.formats import ckpt
from mindport.storage import claims, process


def train(folder: Path, base: str = "net", steps: int = 2) -> str:
    """A run of some steps; returns its prefix."""
    with runs.claim_new(folder, base) as claim:
        saver = Saver(folder, claim.prefix, All(), claim=claim)
        for step in range(1, steps + 1):
            saver.save(Key(claim.prefix, 1, step), {"w": np.full(step + 2, step, np.float32)}, {"total_step": step})
        return claim.prefix


def claimed(folder: Path, base: str = "net") -> str:
    with runs.claim_new(folder, base) as claim:
        return claim.prefix


def test_the_second_run_is_2_and_the_third_is_3(tmp_path: Path) -> None:
    """The tutorial: `resnet50_3-2_32.ckpt` is of the third run of the same prefix."""
    assert [train(tmp_path, "resnet50") for _ in range(3)] == ["resnet50", "resnet50_2", "resnet50_3"]
    assert sorted(os.listdir(tmp_path)) == sorted(
        f"{prefix}-1_{step}.ckpt" for prefix in ("resnet50", "resnet50_2", "resnet50_3") for step in (1, 2)
    )


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ([], "net"),
        (
            ["net-graph.meta", "net.ckpt", "network-1_8.ckpt", "net_a-1_1.ckpt", "net2-1_8.ckpt", "net10-1_8.ckpt"],
            "net",
        ),
        (["net-1_8.ckpt"], "net_2"),
        (["net-1_8.safetensors"], "net_2"),
        (["net-1_8.ckpt", "net_2-1_8.ckpt"], "net_3"),
        (["net_7-1_8.ckpt"], "net_8"),
        (["net-1_8.ckpt", "net_1-1_8.ckpt"], "net_2"),
        (["net_01-1_8.ckpt"], "net"),
        (["net-1_8.ckpt", "net-graph.meta", "net_2-graph.meta"], "net_2"),
    ],
)
def test_files_of_earlier_runs_decide_the_number(tmp_path: Path, existing: list[str], expected: str) -> None:
    for name in existing:
        (tmp_path / name).touch()
    assert claimed(tmp_path) == expected
    assert sorted(os.listdir(tmp_path)) == sorted(existing), "nothing is left behind"


def test_a_left_over_graph_alone_is_no_run(tmp_path: Path) -> None:
    (tmp_path / graph_meta_name("net")).write_bytes(b"of a run that was killed before its first checkpoint")
    assert claimed(tmp_path) == "net"
    assert runs.resume(tmp_path, "net") is None


def test_a_base_that_looks_like_a_later_run_is_its_own(tmp_path: Path) -> None:
    train(tmp_path, "net")
    train(tmp_path, "net")
    assert claimed(tmp_path, "net_2") == "net_2_2"
    assert claimed(tmp_path, "net") == "net_3"
    assert claimed(tmp_path, "") == ""


def test_living_claims_are_stepped_over(tmp_path: Path) -> None:
    held = [runs.claim_new(tmp_path, "net") for _ in range(3)]
    assert [claim.prefix for claim in held] == ["net", "net_2", "net_3"]
    held[1].release()
    assert claimed(tmp_path) == "net_2", "a number that was not used is free again"
    for claim in held:
        claim.release()
    assert os.listdir(tmp_path) == []


def test_a_run_that_came_and_went_between_listing_and_claim_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = runs.take, []

    def take(folder: str, name: str, **options: Any) -> Any:
        calls.append(name)
        if calls == ["net"]:
            (tmp_path / "net-1_1.ckpt").touch()
        return real(folder, name, **options)

    monkeypatch.setattr(runs, "take", take)
    assert claimed(tmp_path) == "net_2"
    assert calls == ["net", "net_2"]


def test_what_dead_processes_left_is_cleaned_up(tmp_path: Path) -> None:
    train(tmp_path)
    boot = process.current().world
    temporary = tmp_path / f".mindport-{boot}-{os.getpid()}-1-0123456789abcdef.tmp"  # an earlier process of our number
    for begin in (lambda: runs.claim_new(tmp_path, "net"), lambda: _resumed(tmp_path)):
        temporary.touch()
        (tmp_path / ".net.mindport-run").touch()
        (tmp_path / ".other.mindport-run").touch()
        begin().release()
        assert sorted(os.listdir(tmp_path)) == ["net-1_1.ckpt", "net-1_2.ckpt"]


def _resumed(folder: Path) -> runs.Claim:
    found = runs.resume(folder, "net")
    assert found is not None
    return found.claim


def test_the_directory_is_made(tmp_path: Path) -> None:
    assert claimed(tmp_path / "a" / "b") == "net"
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectory):
        runs.claim_new(tmp_path / "file", "net")


def test_wrong_prefixes_are_refused(tmp_path: Path) -> None:
    for base, kind in (("a/b", UsageError), (3, WrongTypeError), (None, WrongTypeError)):
        for function in (runs.claim_new, runs.resume, runs.claim_run):
            with pytest.raises(kind):
                function(tmp_path, base)  # type: ignore[operator]
    assert os.listdir(tmp_path) == []


def test_resume_goes_on_with_the_newest_run_that_has_a_valid_checkpoint(tmp_path: Path) -> None:
    for _ in range(3):
        train(tmp_path)
    found = runs.resume(tmp_path, "net")
    assert found is not None
    with found.claim:
        assert found.claim.prefix == "net_3"
        assert found.path == str(tmp_path / "net_3-1_2.ckpt")
        assert found.file.info.total_step == 2
        assert claimed(tmp_path) == "net_4"
    for name in os.listdir(tmp_path):
        if name.startswith("net_3"):
            (tmp_path / name).write_bytes(b"damaged")
    heard: list[Event] = []
    leave = subscribe(heard.append)
    found = runs.resume(tmp_path, "net")
    leave()
    assert found is not None
    with found.claim:
        assert found.claim.prefix == "net_2"
    assert sorted(Path(e.path).name for e in heard if isinstance(e, Skipped)) == ["net_3-1_1.ckpt", "net_3-1_2.ckpt"]
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_resume_leaves_runs_of_another_prefix_alone(tmp_path: Path) -> None:
    """`exp_2-…` may be of the second run of `exp` or of the first of `exp_2`; the files say which."""
    assert train(tmp_path, "exp_2") == "exp_2"
    with runs.claim_run(tmp_path, "exp_2", base="exp_2"):  # also while it is trained on
        assert runs.resume(tmp_path, "exp") is None
        new = train(tmp_path, "exp")
        assert new == "exp_3", "a number that no file has yet"
    for base, prefix in (("exp", "exp_3"), ("exp_2", "exp_2")):
        found = runs.resume(tmp_path, base)
        assert found is not None
        with found.claim:
            assert (found.claim.prefix, found.claim.base, found.file.info.extra["prefix"]) == (prefix, base, base)
    (tmp_path / "other").mkdir()
    assert [train(tmp_path / "other", "exp") for _ in range(2)] == ["exp", "exp_2"]
    assert runs.resume(tmp_path / "other", "exp_2") is None
    assert train(tmp_path / "other", "exp_2") == "exp_2_2"


def test_a_single_file_of_another_prefix_is_passed_over_and_named(tmp_path: Path) -> None:
    train(tmp_path, "exp_2")
    (tmp_path / "other").mkdir()
    for _ in range(2):
        train(tmp_path / "other", "exp", steps=5)
    (tmp_path / "other" / "exp_2-1_5.ckpt").rename(tmp_path / "exp_2-1_5.ckpt")
    heard: list[Event] = []
    leave = subscribe(heard.append)
    found = runs.resume(tmp_path, "exp_2")
    leave()
    assert found is not None
    with found.claim:
        assert found.path == str(tmp_path / "exp_2-1_2.ckpt")
    assert [(Path(e.path).name, e.reason) for e in heard if isinstance(e, Skipped)] == [
        ("exp_2-1_5.ckpt", "it is of a run with prefix 'exp'")
    ]


def test_renamed_files_and_files_without_a_record_are_gone_on_with(tmp_path: Path) -> None:
    train(tmp_path, "exp")
    (tmp_path / "exp-1_2.ckpt").rename(tmp_path / "mine-1_2.ckpt")
    found = runs.resume(tmp_path, "mine")
    assert found is not None
    found.claim.release()
    (tmp_path / "net_2-1_1.ckpt").write_bytes(b"".join(ckpt.write({"w": np.ones(3)}, checksums=False)))
    found = runs.resume(tmp_path, "net")
    assert found is not None
    with found.claim:
        assert found.claim.prefix == "net_2"


def test_resume_finds_nothing_where_nothing_is(tmp_path: Path) -> None:
    assert runs.resume(tmp_path / "absent", "net") is None
    assert not (tmp_path / "absent").exists()
    assert runs.resume(tmp_path, "net") is None
    (tmp_path / "net-1_1.safetensors").touch()
    assert runs.resume(tmp_path, "net") is None
    (tmp_path / "net-1_1.ckpt").write_bytes(b"damaged")
    assert runs.resume(tmp_path, "net") is None
    assert sorted(os.listdir(tmp_path)) == ["net-1_1.ckpt", "net-1_1.safetensors"]
    with pytest.raises(NotADirectory):
        runs.resume(tmp_path / "net-1_1.ckpt", "net")


def test_two_cannot_resume_one_run(tmp_path: Path) -> None:
    train(tmp_path)
    found = runs.resume(tmp_path, "net")
    assert found is not None
    with found.claim, pytest.raises(InUse, match=rf"process {os.getpid()} on .*; stop it first") as caught:
        runs.resume(tmp_path, "net")
    assert "delete" not in str(caught.value)
    again = runs.resume(tmp_path, "net")
    assert again is not None
    again.claim.release()


def test_a_holder_that_cannot_be_seen_is_named_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path)
    path = claims.claim_path(str(tmp_path), "net")
    far = '{"world": "00000000", "pid": 7, "start": 9, "host": "node\\u001b17"}'
    with runs.claim_run(tmp_path, "net"):
        Path(path).write_text(far)
        with pytest.raises(InUse, match=r"process 7 on node\\x1b17; stop it first; if it is surely gone, delete"):
            runs.claim_run(tmp_path, "net", wait_s=0.0)
        Path(path).write_text("")
        with pytest.raises(InUse, match="another process"):
            runs.claim_run(tmp_path, "net", wait_s=0.0)


def test_a_claim_needs_an_existing_directory(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        runs.claim_run(tmp_path / "absent", "net")


def test_runs_are_listed(tmp_path: Path) -> None:
    for name in ("net-1_1.ckpt", "net_4-1_1.ckpt", "net_4-1_2.ckpt", "other-1_1.ckpt"):
        (tmp_path / name).touch()
    assert runs.runs_in(tmp_path, "net") == {1, 4}
    with pytest.raises(MissingFile):
        runs.runs_in(tmp_path / "absent", "net")


def test_each_process_of_a_distributed_job_has_its_own_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs.rank_dir("d", {}) == "d"
    assert runs.rank_dir("d", {"RANK": "0", "WORLD_SIZE": "1"}) == "d"
    assert runs.rank_dir(Path("d"), {"RANK": "0", "WORLD_SIZE": "2"}) == "d/rank_0"
    assert runs.rank_dir("d", {"RANK": "11", "WORLD_SIZE": "16"}) == "d/rank_11"
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert runs.rank_dir("d") == "d/rank_1"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, "WORLD_SIZE must be a number"),
        ({"WORLD_SIZE": "2", "RANK": "../x"}, "RANK must be a number"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK must be a number"),
        ({"WORLD_SIZE": "2", "RANK": "²"}, "RANK must be a number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "not below WORLD_SIZE=2"),
    ],
)
def test_ranks_that_contradict_themselves(variables: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        runs.rank_dir("d", variables)
