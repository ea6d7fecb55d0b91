"""What the benchmarks of one section share: their options, fresh children, the section itself."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from processes import HERE, absolute, default_python, environment, publish, table


def parser_of(words: str) -> argparse.ArgumentParser:
    """The options that all have, under the first line of a page's description."""
    parser = argparse.ArgumentParser(description=words.split("\n")[0])
    parser.add_argument(
        "--python", type=absolute, default=default_python(), help="the children's interpreters, A:B"
    )
    parser.add_argument("--markdown", type=Path, help="put the table into this page")
    return parser


def first_python(options: argparse.Namespace) -> str:
    """The first of the interpreters."""
    listed: str = options.python
    return listed.split(os.pathsep)[0]


def told(python: str, script: str, *args: Any) -> Any:
    """What `script --child ARGS` prints as JSON, in a process that finds nothing on disk."""
    with tempfile.TemporaryDirectory() as store:
        done = subprocess.run(
            [python, os.path.abspath(script), "--child", *map(str, args)],
            env=environment(1, store),
            cwd=HERE,
            capture_output=True,
            text=True,
            check=True,
        )
    return json.loads(done.stdout)


def write(
    options: argparse.Namespace, section: str, title: str, head: list[str], rows: list[list[str]]
) -> None:
    """Print the table, and put it into the page that the options name."""
    text = table(head, rows)
    print(f"{title}\n\n{text}")
    if options.markdown:
        publish(options.markdown, section, title, text)
