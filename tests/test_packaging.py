"""What is shipped: metadata, typing marker, data files, and a tree that speaks of itself alone."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomllib
import yaml

import mindport
from mindport.extras import EXTRA_OF

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = {"numpy", "ml_dtypes", "xxhash", "click"}


def requirement_name(text: str) -> str:
    return re.split(r"[\[<>=!; ]", text, maxsplit=1)[0]


def tracked() -> list[Path]:
    """Files that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return [p for name in done.stdout.decode().split("\0") if name and (p := ROOT / name).is_file()]


def test_version_is_one() -> None:
    assert PROJECT["version"] == mindport.__version__
    assert f"## [{mindport.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_core_is_light() -> None:
    assert {requirement_name(r) for r in PROJECT["dependencies"]} == CORE


def test_every_extra_named_in_a_message_exists_and_brings_the_module() -> None:
    extras = {name: set(map(requirement_name, reqs)) for name, reqs in PROJECT["optional-dependencies"].items()}
    distribution = {"onnx_ir": "onnx-ir", "sklearn": "scikit-learn"}
    for module, extra in EXTRA_OF.items():
        assert distribution.get(module, module) in extras[extra], f"{module} is not in [{extra}]"


def test_constraints_pin_what_the_extras_ask_for() -> None:
    pins = {
        line.partition("==")[0].lower().replace("-", "_")
        for line in (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    wanted = {requirement_name(r) for reqs in PROJECT["optional-dependencies"].values() for r in reqs} | CORE
    assert {w for w in wanted - {"mindport"} if w.lower().replace("-", "_") not in pins} == set()


def test_typing_marker_and_licence_stand_in_the_tree() -> None:
    assert (ROOT / "src" / "mindport" / "py.typed").exists()
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_pre_commit_runs_what_ci_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = {hook["entry"] for repo in config["repos"] for hook in repo["hooks"]}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    ci = {m.strip() for m in re.findall(r"^\t\$\(BIN\)/((?:ruff (?!.*--fix)|mypy).*)$", makefile, re.MULTILINE)}
    assert hooks == {c for c in ci if c != "ruff format ."}
    assert all(repo["repo"] == "local" for repo in config["repos"])


def test_ci_runs_the_two_test_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\S+)$", script, re.MULTILINE) == ["test", "test-slow"]


# written in pieces, so that this file does not contain what it looks for
PATHS = "|".join(("/" + p + "/") for p in ("work", "root", "farm"))
FOREIGN = re.compile(
    rf"(?<![A-Za-z0-9_.])({PATHS})|(index|extra-index|find-links)[-_]?url|"
    r"pypi\." + r"org|python" + r"hosted|download\.py" + r"torch|\b\d{1,3}(\.\d{1,3}){3}:\d+"
)


def test_no_machine_paths_or_package_hosts() -> None:
    found = []
    for path in tracked():
        text = path.read_bytes().decode("latin-1")
        found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in FOREIGN.finditer(text)]
    assert not found, "\n".join(found[:20])


def test_no_large_files() -> None:
    large = [str(p.relative_to(ROOT)) for p in tracked() if p.stat().st_size > 1 << 20]
    assert not large, large


@pytest.mark.slow
def test_the_wheel_holds_everything_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    shipped = {str(p.relative_to(source)) for p in tracked() if p.is_relative_to(source / "mindport")}
    assert shipped <= names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    metadata = zipfile.ZipFile(wheel).read(f"mindport-{mindport.__version__}.dist-info/METADATA").decode()
    assert "Provides-Extra: torch" in metadata
