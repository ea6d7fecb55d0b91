"""Snippets beyond the documents': what adjit answers is what PyTorch does."""

import json

import pytest
from torch_snippets import ANSWERS, answers, near, slopes, snippets

import adjit.tensors as torch
from adjit import options

TEXTS, LINES = snippets()
WANTED = json.loads(ANSWERS.read_text())
CHUNK = 16


@pytest.fixture(autouse=True)
def _same_afterwards():
    with options(interpret=True):
        yield
    torch.set_grad_enabled(True)


@pytest.mark.parametrize("k", range(len(TEXTS)))
def test_snippets(k, monkeypatch):
    import sys

    for name in ("autograd", "autograd.functional", "func", "nn", "utils", "utils.checkpoint"):
        module = torch
        for part in name.split("."):
            module = getattr(module, part)
        monkeypatch.setitem(sys.modules, f"torch.{name}", module)
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = answers(torch, TEXTS[k])
    assert len(found) == len(WANTED[0][k]), f"{TEXTS[k]}\n{found}"
    for a, b in zip(found, WANTED[0][k], strict=True):
        assert near(a, b), TEXTS[k]


@pytest.mark.parametrize("start", range(0, len(LINES), CHUNK))
def test_expressions(start):
    for line, wanted in zip(LINES[start : start + CHUNK], WANTED[1][start:], strict=False):
        assert near(slopes(torch, line), wanted), line
