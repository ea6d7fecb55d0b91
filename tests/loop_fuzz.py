"""Random Python loops: `python tests/loop_fuzz.py --seconds 60`.

Each program is a function of a vector, made of one or two loops of random statements: carries,
swaps, histories, tables, writes, branches, nests, helpers.  Traced with loops and without it must
give the same bits and the same gradient; on other inputs the program with loops must give Python's
value or leave at a guard, never a third thing.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from adjit.ir import evaluate, verify
from adjit.ir.interp import GuardMiss
from adjit.passes import pipeline
from adjit.passes.vjp import vjp
from adjit.tracer.rolling.segments import Policy
from adjit.tracer.trace import trace

EVERY = Policy(lambda load: True)


def helper(y: Any, p: Any) -> Any:
    k = np.sin(y) * p
    return y + 0.1 * np.cos(y + 0.5 * k)


def branchy(y: Any, p: Any) -> Any:
    if y > 0.3:
        return y - 0.5 * p
    if p > 0.2:
        y = y + 0.2
    return np.sin(y * 2)


class Writer:
    """Writes one random program."""

    def __init__(self, seed: int, guards: bool, branchy: bool = False) -> None:
        self.rng = random.Random(seed)
        self.guards = guards
        self.branchy = branchy
        self.resets = branchy and self.rng.random() < 0.4
        self.lines: list[str] = []

    def program(self) -> str:
        rng = self.rng
        self.lines = ["def f(x):", "    a, b, c, t = x[0], x[1], x[2], 0.0", "    hs = [a, b, c]"]
        self.lines += ["    z = np.zeros(40)", "    w = np.concatenate([x] * 7)", "    n = 0"]
        self.lines += ["    m, flag, old = x[4] - 0.5, 0.0, x[5]"]
        self.lines += ["    q, d, ks, o = 0.5, {'k': 0.2}, [0.1, 0.9], [1, 2]"]
        self.lines += ["    z[0] = x[3]", "    table = [0.3, -0.2, 0.7, 0.1, 0.5, -0.6, 0.2, 0.9]"]
        for k in range(rng.choice([1, 1, 2])):
            self.loop(1, k)
        self.lines.append(f"    return {rng.choice(RESULTS)}")
        return "\n".join(self.lines)

    def loop(self, depth: int, k: int) -> None:
        rng, pad = self.rng, "    " * depth
        rounds = rng.choice([3, 4, 5, 6, 9, 12]) if depth == 1 else rng.choice([2, 3, 4])
        if self.branchy and depth == 1:
            rounds = rng.choice([5, 9, 14, 18])
        i = f"i{depth}{k}"
        kind = rng.random() + self.branchy * 0.3
        if self.guards and depth == 1 and kind < 0.35:
            self.lines.append(f"{pad}for {i} in range(30):")
            stop = f"{pad}    if {rng.choice(['a', 'b', 'c'])} > {rng.choice([0.5, 1.0, 2.0])}:"
            body_end = [stop, f"{pad}        break"]
        elif self.guards and depth == 1 and kind < 0.6:
            self.lines += [f"{pad}{i} = 0", f"{pad}u = 0.3 + 0.1 * abs({rng.choice('abc')})"]
            bound = rng.choice([1.0, 2.0, 5.0])
            self.lines += [f"{pad}while u < {bound}:", f"{pad}    u = u * 1.3"]
            body_end = [f"{pad}    {i} = {i} + 1"] if rng.random() < 0.3 else []
        else:
            if depth == 2 and rng.random() < 0.4:
                rounds = f"i1{k}"
            self.lines.append(f"{pad}for {i} in range({rounds}):")
            body_end = []
        for _ in range(rng.choice([1, 1, 2] if self.resets else [1, 2, 3, 4])):
            self.statement(depth + 1, i)
        if depth == 1 and rng.random() < 0.3 and not self.resets:
            self.loop(2, k)
        if not body_end and self.lines[-1].endswith(":"):
            self.lines.append(f"{pad}    a = np.tanh(a)")
        self.lines += body_end
        if body_end and "break" in body_end[-1]:
            self.lines.insert(len(self.lines) - 2, f"{pad}    a = a * 1.2 + 0.03")

    def statement(self, depth: int, i: str) -> None:
        rng, pad = self.rng, "    " * depth
        line = rng.choice(STATEMENTS if rng.random() < 0.7 else PATTERNS)
        if self.guards and rng.random() < 0.2:
            line = rng.choice(BRANCHES)
        if self.branchy and rng.random() < 0.5:
            line = rng.choice(BRANCHES + MORE_BRANCHES * 2)
        if self.resets:
            line = self.reset()
        v, u = rng.choice("abc"), rng.choice("abc")
        k = rng.choice([0, 1, 2, 3])
        line = line.replace("V", v).replace("U", u).replace("I", i).replace("K", str(k))
        self.lines += [pad + part for part in line.split("\n")]

    def reset(self) -> str:
        """Something of Python's that each round sets, a condition changes, and the round reads."""
        rng = self.rng
        before, within, after = (rng.sample(lines, 2) for lines in RESETS)
        asked = ["V > 0.2", "U > V", "V > 0 and U < 0.4", "not V > 0.1", "U > m"]
        lines = [before[0], before[1], f"if {rng.choice(asked)}:", f"    {within[0]}"]
        if rng.random() < 0.4:
            lines += [rng.choice(["else:", f"elif {rng.choice(asked)}:"]), f"    {within[1]}"]
        elif rng.random() < 0.5:
            lines += [f"if {rng.choice(asked)}:", f"    {within[1]}"]
        lines += after
        if rng.random() < 0.3:
            lines = [*lines[2:], *lines[:2]]
        return "\n".join(lines)


STATEMENTS = [
    "V = np.tanh(V + U)",
    "V = np.sin(V) * 0.5 + x[K]",
    "V = V * 0.5 + U * I * 0.1",
    "V = helper(V, U)",
    "V = V + w[I + K]",
    "V = 0.3 * V + w[2 * I] * 0.1",
]
PATTERNS = [
    "a, b = b, np.tanh(a + c)",
    "a, b, c = c, a, np.sin(b)",
    "t = t + 0.1\nV = V + np.sin(t * U)",
    "V = V * 0.9 + table[I % 8]",
    "hs.append(np.tanh(V))",
    "V = V + hs[-1] * 0.2\nhs.append(np.sin(hs[-1]) + 0.1 * hs[-2])",
    "z[I + 1] = np.sin(z[I]) + V * 0.1",
    "z[I] = V\nV = V + np.sum(z) * 0.01",
    "z[I] += U * 0.5",
    "if I % 2 == 0:\n    V = np.cos(V)",
    "if I == 0:\n    first = V\nV = V + first * 0.1",
    "V = np.sum(w[I : I + 4]) * 0.1 + V * 0.5",
    "q = V\nV = U + 0.1 * q\nU = np.tanh(q)",
    "V = V + sum(np.sin(x[j] * U) for j in range(3))",
    "V = V + np.sum(np.array([U * j for j in range(4)])) * 0.05",
]
BRANCHES = [
    "if V > 0.2:\n    V = V * 0.5",
    "if V > 0.2:\n    V = np.sin(V)\nelse:\n    V = V + 0.3",
    "if U > 0.1:\n    n = n + 1",
    "V = max(V, U) * 0.9",
    "if U > 0.1:\n    V = V + 0.1 * I",
]
MORE_BRANCHES = [
    "if V > 0.2:\n    V = V * 0.5\nelif U > 0:\n    V = V - U\nelse:\n    U = np.sin(U) - 0.1",
    "V = V * 0.5 if U > 0 else U * 0.3 + 0.1",
    "V = V * 0.7 + (0.3 if U > 0 else -0.2) * U",
    "q = 0.3 if U > 0.2 else 0.7\nV = V * q - 0.1",
    "q = U if V > 0 else V\nV = np.sin(q * 3)",
    "if V > 0 and U < 0.5:\n    V = V - 0.4",
    "if V > 0.3 or U > 0.4:\n    V = V - U * 0.5",
    "if V > m:\n    m = V",
    "if V > m:\n    m, n = V, I",
    "V = np.sin(V * 4)\nif V < m:\n    m = V + 0.1",
    "if V > 0.1:\n    z[I] = V",
    "if V > 0.1:\n    z[I] += V\nelse:\n    z[I] -= 0.1",
    "if V > 0.1:\n    hs.append(V)",
    "if V > 0.1:\n    V = V - 0.2\nhs.append(V)",
    "if V > 0.1:\n    V = V * table[I % 8]",
    "if V > 0.1:\n    V = V - w[I + K]",
    "if V > 0.1:\n    V = V - w[2 * I] - 0.2",
    "if V > 0.1:\n    V = V - 0.1 * I",
    "if U > 0.3:\n    V = V * 0.7 - 0.1\n    continue",
    "if V > U:\n    a, b = b, a",
    "if V > U:\n    a, b = b, np.sin(a)",
    "if V > 0.1:\n    if U > 0:\n        V = V * 0.2 - 0.1\n    else:\n        U = U + 0.1",
    "V = branchy(V, U)",
    "V = np.sin(V * 3) + w[I + K]\nif V > 0.1:\n    V = branchy(U, V) * 0.5",
    "V = min(V, 0.4) + max(U, -0.3) * 0.2",
    "if V > 0.2:\n    t = t + 0.1\nV = V - t * 0.1",
    "t = t + 0.1\nif V > 0.2:\n    V = V - np.sin(t)",
    "if V > 0.2:\n    flag = 1.0\nelse:\n    flag = 0.0\nV = np.sin(V * 3) - flag * 0.1",
    "V = V - n * 0.01\nif V > 0.2:\n    n = I",
    "old = V\nV = np.sin(V * 3 + 0.2)\nif V > old:\n    V = old - 0.1",
    "for j in range(2):\n    if V > 0:\n        V = V - 0.3\n    else:\n        V = V + 0.4",
    "while V > 0.5:\n    V = V * 0.6 - 0.05",
    "if V > 0.2:\n    V = V * 0.8 + 0.3\n    if V > 1.1:\n        break",
    "if V > 0.1:\n    U = U - 0.1\nelse:\n    V = V - 0.2\n    if V < -1.2:\n        break",
    "V = V + 0.1\nif V > 1.2:\n    V = V - n * 0.1\n    break",
    "if U > 0.4:\n    if V > 1.4:\n        return V - U + t",
]
RESETS = [  # what a way leaves to Python, and what the code may do with it
    ["q = 1.0", "q = V", "q = I", "d = {'k': 1.0}", "ks = [0.5, 2.0]", "o = [I, 1]"],
    ["q = 2.0", "q *= 3", "q = U", "q = 0", "d['k'] = 3.0", "ks.reverse()", "o[1] += 1",
     "o = [0, 3]", "q, t = 0.7, 0.1", "ks = [V, 0.3]"],
    ["V = V * 0.5 + q * 0.1", "V = np.sin(V * q)", "V = V * 0.7 + w[int(q == 1.0)]",
     "V = V * 0.9 + d['k'] * 0.1", "V = V * 0.9 + ks[0] * U", "V = V * 0.8 + w[o[0]] * o[1]",
     "q = q * 2\nV = V * 0.5 + q * 0.1", "z[I] = q", "z[o[0]] = V", "V = V * 0.5 + t", "q = 1.0"],
]  # fmt: skip
RESULTS = [
    "a + b + c",
    "a * b + np.sum(z)",
    "np.sum(np.array(hs)) + a",
    "hs[-1] + hs[len(hs) // 2] + b",
    "a + n * b + t",
    "np.sum(z * z) + c",
    "sum(hs) + a * t",
    "a - m + n * 0.1",
]


def compiled(text: str, seed: int) -> Callable[..., Any]:
    import linecache

    name = f"loop_{seed}.py"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names: dict[str, Any] = {"np": np, "helper": helper, "branchy": branchy}
    exec(compile(text, name, "exec"), names)
    return names["f"]  # type: ignore[no-any-return]


def check(seed: int, guards: bool, branchy: bool = False) -> tuple[int, int, int]:
    """Compare one program with itself unrolled; returns loops, calls that were right, or left."""
    text = Writer(seed, guards, branchy).program()
    f = compiled(text, seed)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=6)
    try:
        f(x)
    except (IndexError, TypeError):
        return 0, 0, 0
    rolled = trace(f, (x,), sampled=True, rolling=EVERY)
    plain = trace(f, (x,), sampled=True)
    verify(rolled.function)
    a, b = ([x, *(c.read() for c in t.captures)] for t in (rolled, plain))
    found, wanted = evaluate(rolled.function, *a)[0], evaluate(plain.function, *b)[0]
    assert found.tobytes() == wanted.tobytes(), f"{found} is not {wanted}"
    assert found.tobytes() == np.asarray(f(x)).tobytes()
    slopes = []
    for t, given in ((rolled, a), (plain, b)):
        primal = pipeline.run(t.function, pipeline.PRIMAL)
        slopes.append(evaluate(vjp(primal, [0]), *given, 1.0)[-1])
    near = 1e-9 * (1 + np.abs(slopes[1][np.isfinite(slopes[1])]).max(initial=0))
    same = np.allclose(*slopes, rtol=1e-9, atol=near, equal_nan=True)
    assert same, f"{slopes[0]} is not {slopes[1]}"
    right = left = 0
    for _ in range(4):
        y = rng.normal(size=6)
        try:
            got = evaluate(rolled.function, y, *(c.read() for c in rolled.captures))[0]
        except GuardMiss:
            left += 1
            continue
        except IndexError:
            left += 1
            continue
        value = np.asarray(f(y))
        assert np.allclose(got, value, rtol=1e-12, equal_nan=True), f"at {y}: {got} is not {value}"
        right += 1
    return sum(not n.reason for n in rolled.loops), right, left


def run(seeds: range, guards: bool, branchy: bool = False) -> tuple[int, int, int, int]:
    """Check these programs; returns how many there were, loops, right and left elsewhere."""
    total = np.zeros(3, int)
    for seed in seeds:
        try:
            total += check(seed, guards, branchy)
        except Exception as error:
            text = Writer(seed, guards, branchy).program()
            error.add_note(f"seed {seed}, guards={guards}\n{text}")
            raise
    return (len(seeds), *map(int, total))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    end, seed = time.monotonic() + args.seconds, args.seed
    totals = np.zeros(4, int)
    while time.monotonic() < end:
        kind = seed // 10 % 3
        totals += run(range(seed, seed + 10), guards=kind > 0, branchy=kind > 1)
        seed += 10
    programs, loops, right, left = totals
    print(f"{programs} programs, {loops} loops; elsewhere {right} right, {left} left at a guard")


if __name__ == "__main__":
    main()
