"""The README and the pages of docs/ show what is: their code runs and prints what they say.

A `text` block that follows a `python` block is its output; `--update-golden` rewrites it.  The code
of a page is one program, its lines counted from the top of each block, in a file `example.py`.
"""

import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n*^```text\n(?P<text>.*?)^```\n)?", re.M | re.S
)
STORE = re.compile(r"/\S*/kernels/[0-9a-f]{40}")


def run(code: str, space: dict[str, object]) -> str:
    """What a block of code prints; where the kernel store is, and what names a kernel there, is left out."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "example.py", "exec"), space)
    lines = [
        line.rstrip()
        for line in STORE.sub("~/.cache/adjit/kernels/HASH", out.getvalue()).split("\n")
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_prints_what_it_shows(page: Path, request: pytest.FixtureRequest) -> None:
    space: dict[str, object] = {"__name__": "example"}
    wrong: list[tuple[str, str]] = []

    def shown(block: re.Match[str]) -> str:
        printed = run(block["code"], space)
        if block["text"] is None or block["text"] == printed:
            return block[0]
        wrong.append((block["text"], printed))
        start, end = block.span("text")
        return block[0][: start - block.start()] + printed + block[0][end - block.start() :]

    text = BLOCK.sub(shown, page.read_text())
    if wrong and request.config.getoption("--update-golden"):
        page.write_text(text)
    elif wrong:
        expected, printed = wrong[0]
        assert printed == expected, "--update-golden if the page should say so"


LINK: Callable[[str], list[str]] = re.compile(r"\]\((?!https?:)([^)#]+)").findall


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK(page.read_text()):
        assert (page.parent / target).exists(), target
