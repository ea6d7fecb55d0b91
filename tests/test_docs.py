"""The README and the pages of docs/ show what is: their code runs and prints what they say.

A `text` block that follows a `python` block is its output; `--update-golden` rewrites it.  The code
of a page is one program, its lines counted from the top of each block, in a file `example.py`.
"""

import contextlib
import io
import multiprocessing
import re
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import adjit
from adjit import CompiledFunction, errors

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n*^```text\n(?P<text>.*?)^```\n)?", re.M | re.S
)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
STORE = re.compile(r"(?<=# )\S*/[0-9a-f]{40}(?=\.py\b)")


def printed(code: str, space: dict[str, object]) -> str:
    """What a block of code prints, without what differs from machine to machine."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "example.py", "exec"), space)
    text = STORE.sub("~/.cache/adjit/kernels/HASH", out.getvalue())
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n") + "\n"


def run(page: Path, answer: Connection) -> None:
    """Send what each block of a page prints, or how it failed."""
    space: dict[str, object] = {"__name__": "example"}
    try:
        answer.send([printed(m["code"], space) for m in BLOCK.finditer(page.read_text())])
    except BaseException:
        answer.send(traceback.format_exc())


def prints(page: Path) -> list[str]:
    """What each block of a page prints, in a process of its own.

    A page may define rows, which no other test should meet.  The processes come from one that has
    imported what most pages import.
    """
    way = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    make = multiprocessing.get_context(way)
    make.set_forkserver_preload(
        ["adjit.api", "adjit.tensors", "adjit.nn", "adjit.codegen.program", "pytest"]
    )
    here, there = make.Pipe(duplex=False)
    process = make.Process(target=run, args=(page, there))
    process.start()
    there.close()
    try:
        found: list[str] | str = here.recv()
    except EOFError:
        found = "the process of the page ended before it answered"
    process.join()
    assert isinstance(found, list), found
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_prints_what_it_shows(page: Path, request: pytest.FixtureRequest) -> None:
    found = iter(prints(page))
    wrong: list[tuple[str, str]] = []

    def shown(block: re.Match[str]) -> str:
        now, said = next(found), block["text"]
        if said is None or said == now:
            return block[0]
        wrong.append((said, now))
        start, end = block.span("text")
        return block[0][: start - block.start()] + now + block[0][end - block.start() :]

    text = BLOCK.sub(shown, page.read_text())
    if wrong and request.config.getoption("--update-golden"):
        page.write_text(text)
    elif wrong:
        said, now = wrong[0]
        assert now == said, "--update-golden if the page should say so"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_public_names_are_on_some_page() -> None:
    pages = "".join(page.read_text() for page in PAGES)
    shown = [n for n in dir(CompiledFunction) if not n.startswith("_")]
    shown.remove("settings_changed")  # for settings.py
    for name in (*adjit.__all__, "range", *errors.__all__, *shown):
        assert re.search(rf"`[^`\n]*\b{name}\b|\b{name}\(", pages), name
