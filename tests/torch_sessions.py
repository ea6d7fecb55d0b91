"""Sessions as users of PyTorch type them, and what PyTorch 2.13 answers, line by line.

`torch_sessions.txt` holds them, `torch_sessions.json` the answers: of an expression its text, of a
Tensor with dtype, shape and elements; what is printed; and errors, with the start of their words.
Where torch is installed, `python tests/torch_sessions.py` records the answers anew.  Sessions may
call `wave(*shape, seed=1)` and `fill(module)`: numbers that are the same everywhere.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from torch_cases import wave as numbers

HERE = Path(__file__).parent
TEXTS, ANSWERS = HERE / "torch_sessions.txt", HERE / "torch_sessions.json"
NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:e[-+]?\d+)?")


def sessions() -> list[str]:
    """The sessions."""
    return [s.strip("\n") for s in TEXTS.read_text().split("\n---\n")]


def answers(torch: Any, text: str) -> list[str]:
    """What each statement of a session answers: its value, error and output as one text."""

    def wave(*shape: int, seed: int = 1) -> Any:
        return torch.tensor(numbers(*shape, seed=seed))

    def fill(module: Any, scale: float = 0.5) -> Any:
        with torch.no_grad():
            for k, p in enumerate(module.parameters()):
                p.copy_(wave(*p.shape, seed=k) * scale)
        return module

    given = {"torch": torch, "np": np, "math": math, "wave": wave, "fill": fill, "__name__": "s"}
    found = []
    torch.manual_seed(0)
    for node in ast.parse(text).body:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if isinstance(node, ast.Expr):
                    value = eval(compile(ast.Expression(node.value), "session", "eval"), given)
                    told = _told(torch, value)
                else:
                    exec(compile(ast.Module([node], []), "session", "exec"), given)
                    told = ""
            except Exception as error:
                first = str(error).split("\n")[0].rstrip(".")
                told = f"{type(error).__name__}: {first}"
        found.append(_cleaned(told + "\n" + out.getvalue()))
    return found


def _told(torch: Any, x: Any) -> str:
    if isinstance(x, torch.Tensor):
        kind = f"{x.dtype} {tuple(x.shape)} {x.requires_grad}"
        return f"{x!r} | {kind} {x.detach().tolist() if x.numel() < 50 else ''}"
    if isinstance(x, tuple | list):
        return f"{type(x).__name__}({', '.join(_told(torch, e) for e in x)})"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k}: {_told(torch, v)}" for k, v in x.items()) + "}"
    return repr(x)


def _cleaned(text: str) -> str:
    """Without addresses, and with numbers of four digits: what is compared by `agree`."""
    text = re.sub(r"0x[0-9a-f]+|torch::autograd::", "", text).replace("adjit.tensors", "torch")
    text = re.sub(r"<[\w.]+\.(\w+) object at >", r"<\1 object at >", text)
    text = re.sub(r"\d+\.\d{5,}(e[-+]?\d+)?", lambda m: f"{float(m[0]):.5g}", text)
    return re.sub(r"\s+", " ", text).strip()


def agree(found: str, wanted: str) -> bool:
    """Whether two answers are the same, numbers to three digits; errors may say more."""
    if wanted.split(": ")[0].endswith("Error"):
        found = found[: len(wanted)]
    if NUMBER.split(found) != NUMBER.split(wanted):
        return False
    pairs = zip(NUMBER.findall(found), NUMBER.findall(wanted), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=1e-3, abs_tol=1.1e-4) for a, b in pairs)


if __name__ == "__main__":
    import torch

    rows = [json.dumps(answers(torch, s)) for s in sessions()]
    ANSWERS.write_text("[\n" + ",\n".join(rows) + "\n]\n")
