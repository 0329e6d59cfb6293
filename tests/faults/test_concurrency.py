"""Several processes in one directory: writers that start together, share a prefix, or resume; readers meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

from faults import bed
from faults.server import Server
from mindport.checkpoint import restore, runs
from mindport.formats import ckpt


def test_processes_that_start_together_get_different_runs(server: Server, tmp_path: Path) -> None:
    job = {"kind": "claim", "directory": str(tmp_path), "start_s": time.time() + 0.3, "hold_s": 0.5}
    answers = server.run(*[job] * 6)
    assert all(answer["code"] == 0 for answer in answers)
    owner = {answer["said"][0]: answer["said"][1] for answer in answers}
    assert sorted(owner) == ["net", "net_2", "net_3", "net_4", "net_5", "net_6"]
    for prefix, pid in owner.items():
        entries = restore.candidates(tmp_path, prefix)
        assert [entry.total for entry in entries] == [3, 2]
        assert all(bed.same(ckpt.read(e.path, verify=True), e.total or 0, seed=pid) for e in entries)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".ckpt"] == []


def test_two_writers_given_one_prefix_never_damage_each_others_files(server: Server, tmp_path: Path) -> None:
    """Without a claim, and with keep=1: each name belongs to who was first, and nobody deletes the other's files."""
    start_s = time.time() + 0.3
    jobs = [
        {"kind": "share", "directory": str(tmp_path), "start_s": start_s, "saves": 12, "seed": seed} for seed in (1, 2)
    ]
    said = [answer["said"] for answer in server.run(*jobs)]
    won = [[word for word in words if isinstance(word, int)] for words in said]
    assert set(won[0] + won[1]) == set(range(1, 13)), "each step was saved by one of them"
    assert {word for words in said for word in words if isinstance(word, str)} <= {"AlreadyExists"}
    left = {e.total or 0: ckpt.read(e.path, verify=True) for e in restore.candidates(tmp_path, "net")}
    for seed, totals in zip((1, 2), won, strict=True):
        if totals:
            assert bed.same(left.pop(totals[-1]), totals[-1], seed=seed), "each keeps its own newest"
    assert left == {}


def test_only_one_process_resumes_a_run(server: Server, tmp_path: Path) -> None:
    with bed.installed(bed.Faulty()):
        claim, _ = bed.prepare(tmp_path, bed.KEEPS["all"], before=2)
    refused = tmp_path / "refused"
    refused.mkdir()
    job = {"kind": "resume", "directory": str(tmp_path), "refused": str(refused), "wait_for": 3}
    (answer,) = server.run(job)
    assert answer["said"][0] == "InUse"
    assert "stop it first" in answer["said"][1]
    claim.release()
    answers = server.run(*[job] * 3)  # the one that has it holds it until the two others were refused
    assert sorted(answer["said"][0] for answer in answers) == ["InUse", "InUse", "net"]


def test_a_run_can_be_resumed_as_soon_as_its_process_was_killed(server: Server, tmp_path: Path) -> None:
    job = {"kind": "write", "directory": str(tmp_path), "keep": "keep1", "saves": 100_000}
    (answer,) = server.run(job, killed_after_s=0.1, killed_after_words=1)
    assert answer["signal"] == 9
    found = runs.resume(tmp_path, "net", wait_s=0.0)
    assert found is not None
    found.claim.release()


def test_readers_always_find_a_whole_checkpoint_while_a_writer_prunes(server: Server, tmp_path: Path) -> None:
    """keep=1: the file that a reader has just chosen is gone a moment later; it looks again."""
    import threading

    job = {"kind": "write", "directory": str(tmp_path), "keep": "keep1", "saves": 60}
    writer = threading.Thread(target=lambda: answers.extend(server.run(job)))
    answers: list[dict[str, object]] = []
    writer.start()
    looks, newest = 0, 0
    while writer.is_alive():
        found = restore.newest_valid(tmp_path, "net")
        if found is None:
            assert newest == 0, "there was one before"
            continue
        total = found[1].info.total_step
        assert total is not None
        assert total >= newest
        assert bed.same(found[1], total)
        newest, looks = total, looks + 1
    writer.join()
    assert answers[0]["code"] == 0
    assert looks > 5
    assert newest > 1
    assert bed.kept(tmp_path) == [60]
