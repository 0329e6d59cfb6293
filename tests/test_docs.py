"""Every code block of the documentation runs, every link leads somewhere, and generated parts are current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs_runner import Block, blocks, commands

ROOT = Path(__file__).resolve().parents[1]
RUNNER = Path(__file__).with_name("docs_runner.py")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LANGUAGES = {"python", "console", "text", "json", "toml"}  # `sh` and `bash` would hide commands from the runner


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code_blocks(page: Path) -> list[Block]:
    return list(blocks(page.read_text(encoding="utf-8")))


RUNNABLE = [p for p in PAGES if any(b.language in {"python", "console"} and not b.exempt for b in code_blocks(p))]


@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_code_blocks_run(page: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(page)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_have_a_known_language(page: Path) -> None:
    assert {b.language for b in code_blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken, broken


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        targets = re.findall(r"\]\(([^)#\s]+\.md)[^)]*\)", page.read_text(encoding="utf-8"))
        todo += [(page.parent / t).resolve() for t in targets if not re.match(r"[a-z]+:", t)]
    assert {name(p) for p in PAGES} - {name(p) for p in seen} == set()


def test_the_runner_reads_blocks_and_commands() -> None:
    page = (
        "a\n```python\nx = 1\n```\n"
        "<!-- not run: no device -->\n```console\n$ mindport verify b # exit code 4\nerror ...\n```\n"
    )
    first, second = blocks(page)
    assert first == Block("python", "x = 1\n", 3, exempt=False)
    assert second.exempt
    assert list(commands(second.text)) == [("mindport verify b # exit code 4", 4, "error ...\n")]
    assert list(commands("$ pip install mindport\n$ mindport doctor\n")) == [("mindport doctor", 0, "")]


def test_generated_tables_are_current() -> None:
    tool = ROOT / "tools" / "support_matrix.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + "run: .venv/bin/python tools/support_matrix.py"
