"""The import law: who may import whom, and where an import may stand."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("ir", "tracer", "passes", "codegen", "adjit")
MAY_IMPORT = {
    "ir": {"ir"},
    "tracer": {"tracer", "ir"},
    "passes": {"passes", "ir"},
    "codegen": {"codegen", "ir"},
    "adjit": set(ROOMS),
}
# What a module may import when it is loaded, besides the standard library and our own rooms.
AT_LOAD = {"numpy"}
# What may be imported late, because it is heavy or an extra.
LATE = {"numba", "llvmlite", "scipy", "networkx", "matplotlib", "IPython", "tqdm"}
LATE |= {"safetensors", "torch"}
# Modules that are themselves imported late, so their imports at the top cost nothing before.
HEAVY_ROOMS = {"codegen"}


def sources() -> list[Path]:
    """Every Python file of the rooms."""
    return [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]


def imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, bool]]:
    """Each import statement, and whether it runs late (inside a function)."""

    def walk(node: ast.AST, late: bool) -> Iterator[tuple[ast.stmt, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child, late
            elif not _type_checking(child):
                yield from walk(child, late or isinstance(child, ast.FunctionDef | ast.Lambda))

    return walk(tree, False)


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def targets(statement: ast.stmt, package: list[str]) -> list[str]:
    """The absolute module names that an import statement reads, `adjit.` in front for ours."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    assert isinstance(statement, ast.ImportFrom)
    module = statement.module or ""
    if statement.level:
        base = package[: len(package) - statement.level + 1]
        module = ".".join([*base, module]) if module else ".".join(base)
    if module == "adjit":  # `from .. import ir` names the room in the imported name
        return [f"adjit.{alias.name}" for alias in statement.names]
    return [module]


def room_of(module: str) -> str | None:
    """The room a module lives in; None for modules that are not ours."""
    parts = module.split(".")
    if parts[0] in ROOMS and parts[0] != "adjit":
        return f"bare {parts[0]}"
    if parts[0] != "adjit":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "adjit"


def broken(path: Path, text: str | None = None) -> list[str]:
    """The breaches of the law in one file, each as `file:line: what`."""
    relative = path.relative_to(ROOT)
    room = relative.parts[0]
    package = ["adjit", *relative.parent.parts] if room != "adjit" else list(relative.parent.parts)
    found = []
    for statement, late in imports(ast.parse(text if text is not None else path.read_text())):
        for module in targets(statement, package):
            complaint = _complaint(room, module, late)
            if complaint:
                found.append(f"{relative}:{statement.lineno}: {complaint}")
    return found


def _complaint(room: str, module: str, late: bool) -> str:
    top = module.split(".")[0]
    target = room_of(module)
    if target is None:
        if top in sys.stdlib_module_names or top in AT_LOAD:
            return ""
        if top not in LATE:
            return f"{room} imports {module}, which is no dependency"
        return "" if late or room in HEAVY_ROOMS else f"{room} imports {top} while it is loaded"
    if target.startswith("bare "):
        return f"{room} imports a {target}; write a relative import"
    if target not in MAY_IMPORT[room]:
        return f"{room} may not import the room {target}"
    if late and target == room and room not in HEAVY_ROOMS:
        return f"{room} imports {module} late; move it to the top or find the missing module"
    if late and target not in (*HEAVY_ROOMS, room):
        return f"{room} imports {module} late"
    if not late and target in HEAVY_ROOMS and room not in HEAVY_ROOMS:
        return f"{room} imports {module} while it is loaded; codegen is imported at the first use"
    return ""


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_import_law(path):
    assert not broken(path), "\n".join(broken(path))


@pytest.mark.parametrize(
    ("room", "text", "says"),
    [
        ("ir", "from ..tracer.trace import trace", "ir/x.py:1: ir may not import the room tracer"),
        ("ir", "from .. import passes", "may not import the room passes"),
        ("passes", "import adjit.codegen.program", "may not import the room codegen"),
        ("tracer", "import ir.core", "bare ir"),
        ("adjit", "import numba", "adjit imports numba while it is loaded"),
        ("adjit", "from .codegen import program", "codegen is imported at the first use"),
        ("passes", "def f():\n    from .vjp import vjp", "passes/x.py:2: passes imports adjit"),
        ("passes", "import tensorflow", "which is no dependency"),
    ],
)
def test_the_law_sees_breaches(room, text, says):
    path = ROOT / room / "x.py"
    found = broken(path, text)
    assert len(found) == 1
    assert says in found[0]


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("adjit", "from .ir.core import Block\nfrom .tracer import trace\nfrom . import passes"),
        ("adjit", "def f():\n    from .codegen.program import build"),
        ("ir", "def f():\n    import networkx"),
        ("codegen", "import numba\nfrom ..ir.core import Block\nfrom . import engine"),
        ("tracer", "import numpy as np, math"),
        ("ir", "if TYPE_CHECKING:\n    from ..tracer import trace"),
    ],
)
def test_the_law_allows(room, text):
    assert not broken(ROOT / room / "x.py", text)
