"""Each golden/*.ir is a function, the passes named in its header, and what they make of it.

A file reads: comments saying the one property shown; `# passes: vjp([0]), dce`; the function; a
line `# ->`; the result.  A file without passes is a function in its printed form.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from conftest import GOLDEN

from adjit.ir import canonical, parse, show, verify

FILES = sorted(p.name for p in GOLDEN.glob("*.ir"))
ARROW = "\n# ->\n"


def passes_of(header: str) -> list[tuple[Callable[..., Any], list[Any], dict[str, Any]]]:
    """The calls that a header names: passes by name, with literal arguments."""
    found = []
    for node in ast.parse(f"[{header}]", mode="eval").body.elts:  # type: ignore[attr-defined]
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        name = ast.unparse(call.func)
        run = getattr(import_module(f"adjit.passes.{name}"), name)
        keywords = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        found.append((run, [ast.literal_eval(a) for a in call.args], keywords))
    return found


@pytest.mark.parametrize("name", FILES)
def test_golden(name: str, golden: Callable[[str, str], None]) -> None:
    text = (GOLDEN / name).read_text()
    before, _, _ = text.partition(ARROW)
    headers = [line for line in before.splitlines() if line.startswith("#")]
    calls = [line.removeprefix("# passes:") for line in headers if line.startswith("# passes:")]
    function = parse(show(parse(before)))  # twice: names that clash are settled by the first
    verify(function)
    source = "\n".join([*headers, "", show(function)])
    for call in calls:
        for run, args, keywords in passes_of(call):
            function = run(function, *args, **keywords)
            verify(function)
    assert show(parse(show(function))) == show(function)
    assert canonical(parse(show(function))) == canonical(function)
    golden(name, f"{source}\n{ARROW}\n{show(function)}" if calls else source)
