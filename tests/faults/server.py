"""A process that forks one child per job and says how it ended: real kills without the cost of an interpreter each."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


class Server:
    """The side of the test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def run(
        self, *jobs: dict[str, Any], killed_after_s: float | None = None, killed_after_words: int = 0
    ) -> list[dict[str, Any]]:
        """Runs the jobs at the same time; returns ``{"signal": n, "code": n, "said": [...]}`` of each.

        With `killed_after_s` they are killed so many seconds after each has said `killed_after_words` words.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"jobs": jobs, "after_s": killed_after_s, "after_words": killed_after_words}) + "\n")
        stdin.flush()
        answer: list[dict[str, Any]] = json.loads(stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


def work(job: dict[str, Any], say: Any) -> None:
    """What a child does."""
    from faults import bed
    from mindport.checkpoint import policy, runs
    from mindport.checkpoint.saver import Saver
    from mindport.errors import MindportError

    directory, kind = job["directory"], job["kind"]
    if kind == "die":  # a run that is killed at one system call of its last save
        with bed.installed(bed.Faulty()):
            _, saver = bed.prepare(directory, bed.KEEPS[job["keep"]])
            fault = bed.killed(job["when"], job.get("number", signal.SIGKILL))
            with bed.installed(bed.Faulty(job["at"], fault)):
                bed.save(saver, bed.BEFORE + 1)
    elif kind == "claim":  # several start at the same moment
        while time.time() < job["start_s"]:
            pass
        claim = runs.claim_new(directory, "net")
        say(claim.prefix)
        saver = Saver(directory, claim.prefix, policy.Latest(2), claim=claim)
        for total in range(1, 4):
            bed.save(saver, total, seed=os.getpid())
        say(os.getpid())
        time.sleep(job.get("hold_s", 0.0))
        claim.release()
    elif kind == "share":  # a writer without claim, as if two were given one prefix
        saver = Saver(directory, "net", policy.Latest(1))
        while time.time() < job["start_s"]:
            pass
        for total in range(1, job["saves"] + 1):
            try:
                bed.save(saver, total, seed=job["seed"])
                say(total)
            except MindportError as exc:
                say(type(exc).__name__)
    elif kind == "resume":
        try:
            found = runs.resume(directory, "net")
            say("none" if found is None else found.claim.prefix)
            until = time.monotonic() + 30
            while len(list(Path(job["refused"]).iterdir())) < job["wait_for"] and time.monotonic() < until:
                time.sleep(0.01)
        except MindportError as exc:
            say(type(exc).__name__)
            say(str(exc))
            (Path(job["refused"]) / str(os.getpid())).touch()
    elif kind == "write":  # saves and prunes without end
        _, saver = bed.prepare(directory, bed.KEEPS[job["keep"]], before=1)
        say("ready")
        for total in range(2, job["saves"] + 1):
            bed.save(saver, total)
    elif kind == "limited":  # the system refuses files over a limit, as a full disk would
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit_bytes"], resource.RLIM_INFINITY))
        _, saver = bed.prepare(directory, bed.KEEPS["keep5"], before=0)
        try:
            bed.save(saver, bed.BIG)
        except MindportError as exc:
            say(type(exc).__name__)
            say(str(exc))
    else:
        raise AssertionError(kind)


def main() -> None:
    import mindport.formats.ckpt  # noqa: F401 - once here, not in each child
    from faults import bed

    for total in range(bed.BEFORE + 2):
        bed.weights(total)

    for line in sys.stdin:
        request = json.loads(line)
        children = [(pid, os.fdopen(reader), []) for pid, reader in map(start, request["jobs"])]
        if request["after_s"] is not None:
            for _, said, words in children:
                words += [json.loads(said.readline()) for _ in range(request["after_words"])]
            time.sleep(request["after_s"])
            for pid, _, _ in children:
                os.kill(pid, signal.SIGKILL)
        answers = []
        for pid, said, words in children:
            with said:
                words += [json.loads(text) for text in said]
            _, status = os.waitpid(pid, 0)
            answers.append(
                {
                    "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                    "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
                    "said": words,
                }
            )
        print(json.dumps(answers), flush=True)


def start(job: dict[str, Any]) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    os.close(reader)
    code = 1
    try:
        work(job, lambda word: os.write(writer, json.dumps(word).encode() + b"\n"))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
