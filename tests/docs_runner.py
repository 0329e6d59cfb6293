"""Runs the code blocks of one Markdown page in the current folder: `python docs_runner.py PAGE`.

Blocks of a page share one namespace and one folder, so a block can build on the ones above it. In ```console blocks
the lines `$ mindport ...` run too; what stands below such a line must be its output (`...` stands for anything), and
`# exit code N` at its end gives an exit code other than 0. A comment `<!-- not run: reason -->` above a block exempts
it.
"""

from __future__ import annotations

import doctest
import linecache
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w+-]*)\s*$")
EXEMPT = re.compile(r"<!-- not run: .+ -->")
TIMEOUT_S = 300


@dataclass(frozen=True)
class Block:
    """A fenced block: language, text, line number of its first line, and whether it is exempt."""

    language: str
    text: str
    line: int
    exempt: bool


def blocks(page: str) -> Iterator[Block]:
    language, start, body, last, exempt, indent = None, 0, [], "", False, ""
    for number, line in enumerate(page.splitlines(), 1):
        fence = FENCE.match(line)
        if language is None and fence:
            language, start, body, indent = fence["language"], number + 1, [], fence["indent"]
            exempt = bool(EXEMPT.search(last))
        elif language is not None and line.strip() == "```":
            yield Block(language, "\n".join(body) + "\n", start, exempt)
            language = None
        elif language is not None:
            body.append(line.removeprefix(indent))
        if line.strip():
            last = line
    assert language is None, f"the block that begins at line {start} does not end"


def commands(text: str) -> Iterator[tuple[str, int, str]]:
    """Yields `(command, expected exit code, expected output)` of a console block; only `mindport` is run."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        if command.split()[0] == "mindport":
            code = re.search(r"# exit code (\d+)\s*$", command)
            yield command, int(code[1]) if code else 0, output


def run_console(block: Block, where: str) -> None:
    for command, code, want in commands(block.text):
        args = shlex.split(command, comments=True)[1:]
        done = subprocess.run(
            [sys.executable, "-m", "mindport", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == code, f"{where}: {command}: exit code {done.returncode}\n{done.stdout}"
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = not want.strip() or doctest.OutputChecker().check_output(want, done.stdout, flags)
        assert same, f"{where}: {command}\nexpected:\n{want}\ngot:\n{done.stdout}"


def run_page(path: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(path.read_text(encoding="utf-8")):
        where = f"{path.name}:{block.line}"
        if block.exempt:
            continue
        if block.language == "python":
            padded = "\n" * (block.line - 1) + block.text
            linecache.cache[where] = (len(padded), None, padded.splitlines(keepends=True), where)
            exec(compile(padded, where, "exec"), namespace)
        elif block.language == "console":
            run_console(block, where)


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
