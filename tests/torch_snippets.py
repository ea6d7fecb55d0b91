"""Snippets that users of PyTorch write, and what PyTorch 2.13 answers.

`torch_snippets.txt` holds them, `torch_snippets.json` the answers.  Where torch is installed,
`python tests/torch_snippets.py` records the answers anew.  In a snippet `show(x, ...)` notes
values, and `tri(f)` what `f()` answers or raises.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
TEXTS, ANSWERS = HERE / "torch_snippets.txt", HERE / "torch_snippets.json"
SETTING = """
x = torch.tensor([[0.3,0.55,0.7],[0.25,0.9,0.4]], requires_grad=True)
y = torch.tensor([[0.5,0.2,0.8],[0.6,0.3,0.1]])
s = torch.tensor([[0.3,0.1,0.2],[0.4,0.5,0.1],[0.2,0.7,0.6]], requires_grad=True)
p = s @ s.T + torch.eye(3)
"""


def snippets() -> tuple[list[str], list[str]]:
    """The snippets, and the expressions in x, y, s and p (one a line)."""
    *parts, lines = TEXTS.read_text().split("\n---\n")
    return [s.strip("\n") for s in parts], lines.strip().split("\n")


def answers(torch: Any, text: str) -> list[Any]:
    """What a snippet shows, as JSON."""
    shown: list[Any] = []

    def attempt(f: Any) -> None:
        try:
            found = f()
        except Exception as error:
            shown.append(_raised(error))
        else:
            shown.append(_plain(torch, found))

    def show(*xs: Any) -> None:
        shown.extend(_plain(torch, x) for x in xs)

    def leaf(*xs: float) -> Any:
        return torch.tensor(list(xs), requires_grad=True)

    given = {"torch": torch, "np": np, "math": math, "show": show, "tri": attempt, "leaf": leaf}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            exec(text, given)
        except Exception as error:
            shown.append(_raised(error))
    return shown


def slopes(torch: Any, expression: str) -> list[Any]:
    """The value of an expression in x, y, s and p, and derivatives of its weighted sum."""
    given: dict[str, Any] = {"torch": torch, "np": np}
    exec(SETTING, given)
    found = eval(expression, given)
    parts = [t for t in _tensors(torch, found) if t.requires_grad]
    total = sum(
        t.abs().sum()
        if t.is_complex()
        else (t * torch.arange(1.0, t.numel() + 1).reshape(t.shape)).sum()
        for t in parts
    )
    if parts:
        total.backward()  # type: ignore[union-attr]
    return [_plain(torch, v) for v in (found, given["x"].grad, given["s"].grad)]


def _tensors(torch: Any, x: Any) -> list[Any]:
    if isinstance(x, torch.Tensor):
        return [x]
    return [t for e in x for t in _tensors(torch, e)] if isinstance(x, tuple | list) else []


def _raised(error: Exception) -> list[str]:
    """The class of an error, and the start of its text."""
    return ["raised", type(error).__name__, str(error).split("\n")[0][:60]]


def _plain(torch: Any, x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        dtype = str(x.dtype).removeprefix("torch.")
        recorded = x.grad_fn is not None
        return [dtype, list(x.shape), _rounded(x.detach().tolist()), x.requires_grad, recorded]
    if isinstance(x, float | np.ndarray):
        return _rounded(x if isinstance(x, float) else x.tolist())
    if isinstance(x, tuple | list):
        return [_plain(torch, e) for e in x]
    if isinstance(x, dict):
        return [[str(k), _plain(torch, v)] for k, v in x.items()]
    text = re.sub(r"0x[0-9a-f]+|torch::autograd::", "", repr(x))
    return text.replace("adjit.tensors", "torch")


def _rounded(v: Any) -> Any:
    if isinstance(v, list):
        return [_rounded(e) for e in v]
    if isinstance(v, complex):
        return [_rounded(v.real), _rounded(v.imag)]
    if isinstance(v, float):
        return str(v) if not math.isfinite(v) else float(f"{v:.4g}")
    return v


def near(a: Any, b: Any) -> bool:
    """Whether two answers agree, numbers to three digits."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(near, a, b))
    if isinstance(a, int | float) and isinstance(b, int | float) and type(a) is not bool:
        return math.isclose(a, b, rel_tol=2e-3, abs_tol=1e-5)
    return bool(a == b)


if __name__ == "__main__":
    import torch

    texts, lines = snippets()
    found = [answers(torch, t) for t in texts], [slopes(torch, e) for e in lines]
    rows = [",\n".join(f"  {json.dumps(a)}" for a in part) for part in found]
    ANSWERS.write_text("[[\n" + "\n], [\n".join(rows) + "\n]]\n")
