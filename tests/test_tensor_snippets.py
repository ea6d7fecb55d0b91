"""Snippets beyond the documents': what adjit answers is what PyTorch does."""

import json
import sys

import pytest
import torch_sessions
from torch_snippets import ANSWERS, answers, near, slopes, snippets

import adjit.tensors as torch
from adjit import options

TEXTS, LINES = snippets()
WANTED = json.loads(ANSWERS.read_text())
CHUNK = 16


@pytest.fixture(autouse=True)
def _same_afterwards():
    threads = torch.get_num_threads()
    with options(interpret=True):
        yield
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


NAMES = """
autograd autograd.function autograd.functional autograd.graph func linalg nn nn.functional nn.init
nn.utils nn.utils.parametrizations nn.utils.parametrize nn.utils.rnn optim optim.lr_scheduler
optim.swa_utils utils utils.checkpoint utils.data
""".split()  # noqa: SIM905
SESSIONS = torch_sessions.sessions()
TOLD = json.loads(torch_sessions.ANSWERS.read_text())


def named_torch(monkeypatch):
    """Let `import torch` find adjit.tensors."""
    monkeypatch.setitem(sys.modules, "torch", torch)
    for name in NAMES:
        module = torch
        for part in name.split("."):
            module = getattr(module, part)
        monkeypatch.setitem(sys.modules, f"torch.{name}", module)


@pytest.mark.parametrize("k", range(len(SESSIONS)))
def test_sessions(k, monkeypatch):
    named_torch(monkeypatch)
    found = torch_sessions.answers(torch, SESSIONS[k])
    for a, b in zip(found, TOLD[k], strict=True):
        assert torch_sessions.agree(a, b), f"{a}\n{b}\n{SESSIONS[k]}"


@pytest.mark.parametrize("k", range(len(TEXTS)))
def test_snippets(k, monkeypatch):
    named_torch(monkeypatch)
    found = answers(torch, TEXTS[k])
    assert len(found) == len(WANTED[0][k]), f"{TEXTS[k]}\n{found}"
    for a, b in zip(found, WANTED[0][k], strict=True):
        assert near(a, b), TEXTS[k]


@pytest.mark.parametrize("start", range(0, len(LINES), CHUNK))
def test_expressions(start):
    for line, wanted in zip(LINES[start : start + CHUNK], WANTED[1][start:], strict=False):
        assert near(slopes(torch, line), wanted), line
