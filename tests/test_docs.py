"""The README and the pages of docs/ show what is: their code runs and prints what they say.

A `text` block that follows a `python` block is its output; `--update-golden` rewrites it.  The code
of a page is one program, its lines counted from the top of each block, in a file `example.py`.
"""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(page: str) -> None:
    """Print, as JSON, what each block of a page prints."""
    space: dict[str, object] = {"__name__": "example"}
    blocks = BLOCK.finditer(Path(page).read_text())
    print(json.dumps([printed(m["code"], space) for m in blocks]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_prints_what_it_shows(page: Path, request: pytest.FixtureRequest) -> None:
    # In a process of its own: a page may define rows, which no other test should meet.
    done = subprocess.run([sys.executable, __file__, str(page)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = iter(json.loads(done.stdout))
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


if __name__ == "__main__":
    run(sys.argv[1])
