"""The architecture as data: who may import whom, and what no module may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "mindport"
MODULES = sorted(SRC.rglob("*.py"))

# Imports flow downward only; same-layer imports stay inside one package (the single modules of a layer count as one).
LAYERS: dict[str, int] = {
    "errors": 0,
    "extras": 0,
    "dtypes": 0,
    "tensors": 0,
    "events": 0,
    "results": 0,
    "storage": 1,
    "wire": 1,
    "dialects": 2,
    "naming": 2,
    "formats": 3,
    "checkpoint": 4,
    "ops": 4,
    "adapters": 4,
    "conversion": 5,
    "train": 6,
    "api": 6,
    "weightfiles": 6,
    "environment": 6,
    "cli": 7,
    "__main__": 8,
}

# modules (and modules whose names begin so) that handle graphs; the checkpoint half never loads them
MODEL_HALF = (
    "ops",
    "dialects",
    "conversion",
    "formats.onnx",
    "formats.mindir",
    "formats.air",
    "formats.graph_meta",  # written by training without onnx_ir, read into a graph with it
    "adapters.torch_forms",
    "adapters.torch_trace",
)

# import name -> the only places (module prefixes) that may import it, directly or through `extras.need`
HOME_OF = {
    "torch": ("adapters",),
    "torch_npu": ("adapters",),
    "mindspore": ("adapters",),
    "onnx_ir": MODEL_HALF,
    "onnx": MODEL_HALF,
    "onnxruntime": ("conversion",),
    "onnxscript": ("conversion", "adapters.torch_forms", "adapters.torch_trace"),
    "google": ("formats.onnx",),  # the decoder's error class; no message class of ours lives in protobuf's pool
    "click": ("cli", "__main__"),
    "rich": ("cli", "train.callback.progress"),
    "sklearn": ("cli.demo",),
}
BANNED_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
WRITERS = {"write_text", "write_bytes", "save", "savez", "savez_compressed", "tofile", "copyfile", "copy2", "mkstemp"}
MAY_WRITE = ("storage", "adapters.torch_pt")  # the latter lets torch.save write into a stream that goes to storage
MAY_PRINT = ("cli",)
MAX_LINES = 400

FRAMEWORKS = ("torch", "onnx", "onnx_ir", "onnxruntime", "mindspore")
LIGHT_MODULES = (
    "mindport",
    "mindport.api",
    "mindport.checkpoint",
    "mindport.formats.ckpt",
    "mindport.formats.registry",
    "mindport.storage.atomic",
    "mindport.train.callback",
    "mindport.train.model",
    "mindport.train.serialization",
    "mindport.cli.main",
)


def dotted(path: Path) -> str:
    """`src/mindport/a/b.py` -> `a.b`; a package's `__init__` -> `a`; the root -> ``."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == p or name.startswith((p + ".", p + "_")) for p in places)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def walk_runtime(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node, except what stands under `if TYPE_CHECKING:`."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        children = node.orelse if is_type_checking(node) else ast.iter_child_nodes(node)
        todo.extend(children)


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """`(absolute module name, line)` of each import statement and each literal `need("...")`/`import_module("...")`."""
    for node in walk_runtime(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the layer"
            yield node.module or "", node.lineno
            if node.module in {"mindport"} | {f"mindport.{p.name}" for p in SRC.iterdir() if p.is_dir()}:
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            name = node.args[0].value
            importing = called in {"need", "import_module", "__import__"}
            if isinstance(name, str) and (importing or (called == "load" and name.startswith("mindport."))):
                yield name, node.lineno


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: dotted(p) or "mindport")
def test_imports_flow_downward(path: Path) -> None:
    name = dotted(path)
    if not name:  # the package itself names everything lazily
        return
    top = name.partition(".")[0]
    assert top in LAYERS, f"{name} has no layer; add it to LAYERS"
    bad = []
    for target, line in imports(parse(path)):
        if not target.startswith("mindport.") or target == "mindport.__version__":
            continue
        other = target.split(".")[1]
        if other not in LAYERS:
            continue  # a name of the package itself, such as `from mindport import Tensor`
        same = other == top or (Path(SRC / f"{other}.py").exists() and Path(SRC / f"{top}.py").exists())
        if LAYERS[other] > LAYERS[top] or (LAYERS[other] == LAYERS[top] and not same):
            bad.append(f"line {line}: {name} (layer {LAYERS[top]}) imports {target} (layer {LAYERS[other]})")
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: dotted(p) or "mindport")
def test_foreign_imports_stay_in_their_homes(path: Path) -> None:
    name = dotted(path)
    bad = []
    for target, line in imports(parse(path)):
        root = target.partition(".")[0]
        if root in BANNED_IMPORTS:
            bad.append(f"line {line}: {root} is banned")
        if root in HOME_OF and not within(name, HOME_OF[root]):
            bad.append(f"line {line}: {root} may be imported only in {', '.join(HOME_OF[root])}")
    assert not bad, f"{name}:\n" + "\n".join(bad)


def opens_for_writing(call: ast.Call) -> bool:
    """True for `open`/`.open` with a writing mode, `os.open` with writing flags, and NumPy's and shutil's writers."""
    called = ast.unparse(call.func)
    method = called.rpartition(".")[2]
    if "os.devnull" in ast.unparse(call):
        return False
    if called == "os.open":
        return bool(re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", ast.unparse(call)))
    if method == "open":
        literals = [a.value for a in (*call.args, *(k.value for k in call.keywords)) if isinstance(a, ast.Constant)]
        return any(isinstance(v, str) and re.fullmatch(r"[rwxabt+]{1,4}", v) and set(v) & set("wxa+") for v in literals)
    if method in {"save", "savez", "savez_compressed"}:
        return called.partition(".")[0] in {"np", "numpy", "torch", "onnx", "ir", "onnx_ir"}
    return method in WRITERS


@pytest.mark.parametrize("path", MODULES, ids=lambda p: dotted(p) or "mindport")
def test_nothing_writes_prints_or_stays_unfinished(path: Path) -> None:
    name, source = dotted(path), path.read_text(encoding="utf-8")
    bad = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            if opens_for_writing(node) and not within(name, MAY_WRITE):
                bad.append(f"line {node.lineno}: {ast.unparse(node.func)} writes; use storage.atomic.commit")
            if isinstance(node.func, ast.Name) and node.func.id == "print" and not within(name, MAY_PRINT):
                bad.append(f"line {node.lineno}: print")
        if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
            bad.append(f"line {node.lineno}: a stub")
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "BaseException"):
            raises = any(isinstance(n, ast.Raise) for n in ast.walk(node))
            if not raises:
                bad.append(f"line {node.lineno}: catches everything and goes on")
    words = "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X"))
    bad += [f"line {i}: {w}" for i, t in enumerate(source.splitlines(), 1) for w in re.findall(rf"\b({words})\b", t)]
    lines = source.count("\n")
    if lines > MAX_LINES:
        bad.append(f"{lines} lines; a file holds one job in at most {MAX_LINES}")
    assert not bad, f"{name}:\n" + "\n".join(bad)


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_load_no_framework(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {FRAMEWORKS!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_help_needs_neither_numpy_nor_a_verb() -> None:
    code = (
        "import sys; from mindport.cli.main import main; code = main(['--help']);"
        "print('LOADED', *[m for m in sys.modules if m == 'numpy' or m.startswith('mindport.cli.')]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.rpartition("LOADED")[2].split()
    assert set(loaded) <= {"mindport.cli.main", "mindport.cli.options"}


def test_every_module_has_a_test_file() -> None:
    missing = []
    for path in MODULES:
        if path.name == "__init__.py" and len(parse(path).body) <= 1:
            continue  # only a docstring
        relative = path.relative_to(SRC)
        stem = "init" if path.name == "__init__.py" else path.stem.strip("_")
        if not relative.parent.parts and stem == "init":
            stem = "public_api"
        folder = ROOT / "tests" / relative.parent
        family = stem.partition("_")[0]  # `ckpt_scan` is a part of `ckpt` and may be tested with it
        if not any((folder / f"test_{name}.py").exists() for name in (stem, family)):
            missing.append(str((folder / f"test_{stem}.py").relative_to(ROOT)))
    assert not missing, "no tests at " + ", ".join(missing)


def checks_something(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Raise) and "AssertionError" in ast.unparse(node)):
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in {"raises", "warns"} or re.match(r"_?(agree|assert|check|expect|must|prove)", called):
                return True
    return False


def test_every_test_asserts() -> None:
    idle = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(parse(path)):
            named_test = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test")
            if named_test and not checks_something(node):  # type: ignore[arg-type]
                idle.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")  # type: ignore[attr-defined]
    assert not idle, "\n".join(idle)


def test_no_test_is_skipped_for_a_missing_dependency() -> None:
    call = re.compile(r"pytest\.(skip|xfail|importorskip)\(|pytest\.mark\.(skip|skipif|xfail)\b")
    here = Path(__file__)
    found = [
        f"{p.relative_to(ROOT)}:{i}"
        for p in sorted((ROOT / "tests").rglob("*.py"))
        if p != here
        for i, line in enumerate(p.read_text(encoding="utf-8").splitlines(), 1)
        if call.search(line)
    ]
    assert not found, ", ".join(found)


@pytest.mark.parametrize(
    ("source", "writes"),
    [
        ("open(p, 'wb')", True),
        ("open(p)", False),
        ("Path(p).open(mode='a')", True),
        ("os.open(p, os.O_RDONLY)", False),
        ("os.open(p, os.O_WRONLY | os.O_CREAT)", True),
        ("np.save(p, a)", True),
        ("saver.save(key)", False),
        ("path.write_bytes(b'')", True),
    ],
)
def test_the_write_detector_sees_what_it_should(source: str, writes: bool) -> None:
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call)
    assert opens_for_writing(call) is writes
