"""State that the function reads is live; state that it changes is refused where it matters."""

import collections
import contextvars
import dataclasses
import enum
import functools
import itertools
import operator
import os
import types
import warnings
import weakref

import numpy as np
import pytest

from adjit import grad, jit, options
from adjit.errors import AdjitError, RandomInTrace, StateInTrace, StateWritten
from adjit.tracer.guards import LARGE, content_mark

pytestmark = pytest.mark.usefixtures("interpreted")


class Model:
    n = 0
    W = None
    first = True

    def __init__(self):
        self.calls, self.log, self.v, self.last = 0, [], np.zeros(2), 0.0
        self.items, self.rng = iter([1.0, 2.0, 3.0]), np.random.default_rng(0)
        self.cfg = types.SimpleNamespace(step=0)

    def counts(self, x):
        self.calls += 1
        return x * self.calls

    def passes_a_number(self, x):
        self.calls += 1
        return x * 2 if self.calls < 10 else x

    def counts_on_class(self, x):
        type(self).n += 1
        return x * type(self).n

    def shadows_class(self, x):
        self.n += 1
        return x * self.n

    def counts_deep(self, x):
        self.cfg.step += 1
        return x * self.cfg.step

    def grows(self, x):
        self.log.append(x)
        return x * len(self.log)

    def moves(self, x):
        self.v = self.v * 0.5 + x
        return np.sum(self.v)

    def moves_in_place(self, x):
        self.v[0] += 1
        return np.sum(x * self.v)

    def remembers(self, x):
        y = x + self.last
        self.last = x
        return y

    def takes(self, x):
        return x * next(self.items)

    def draws(self, x):
        return x * helper_draws(self)

    def toggles(self, x):
        if self.first:
            self.first = False
            return x * 2
        return x * 3

    def sets(self, x):
        setattr(self, "m", getattr(self, "m", 0) + 1)  # noqa: B010
        return x * self.m

    # what may change
    def only_counts(self, x):
        self.calls += 1
        self.v[1] += self.calls
        return x * 2

    def collects(self, x):
        y = x * 2
        self.log.append(y)
        return y + 1

    def scratches(self, x):
        self.last = x * 2
        self.cfg.now = {"y": self.last}
        return self.cfg.now["y"] + 1

    def makes_when_needed(self, x):
        if self.W is None:
            self.W = np.ones(3) * 2
        return np.sum(self.W * x)

    @functools.cached_property
    def table(self):
        return np.arange(3.0)

    def caches(self, x):
        return np.sum(self.table * x)


def helper_draws(m):
    return m.rng.normal()


def of_nonlocal():
    n = 0

    def f(x):
        nonlocal n
        n += 1
        return x * n

    return f


def of_entry():
    d = {"scale": 2.0}

    def f(x):
        d["n"] = d.get("n", 0) + 1
        return x * d["n"]

    return f


def of_default():
    def f(x, log=[]):  # noqa: B006
        log.append(1)
        return x * len(log)

    return f


def of_keyword():
    def f(x, *, log=[]):  # noqa: B006
        log.append(1)
        return x * len(log)

    return f


def of_global():
    space = {}
    exec(compile("def f(x):\n global n\n n = globals().get('n', 0) + 1\n return x * n",
                 __file__, "exec"), space)  # fmt: skip
    return space["f"]


def of_iterator(make):
    def f(x):
        return x * next(items)

    items = make()
    return f


def of_container(make, change):
    def f(x):
        change(box)
        return x * len(box)

    box = make()
    return f


METHODS = (
    "counts", "passes_a_number", "counts_on_class", "shadows_class", "counts_deep", "grows",
    "moves", "moves_in_place", "remembers", "takes", "draws", "toggles", "sets",
)  # fmt: skip
REFUSED = {
    **{n: functools.partial(lambda n: getattr(Model(), n), n) for n in METHODS},
    "nonlocal": of_nonlocal,
    "entry": of_entry,
    "default": of_default,
    "keyword default": of_keyword,
    "global": of_global,
    "list iterator": lambda: of_iterator(lambda: iter([1.0, 2.0])),
    "generator": lambda: of_iterator(lambda: (float(k) for k in range(9))),
    "count": lambda: of_iterator(itertools.count),
    "cycle": lambda: of_iterator(lambda: itertools.cycle([1, 2])),
    "zip": lambda: of_iterator(lambda: map(float, range(9))),
    "deque": lambda: of_container(collections.deque, lambda d: d.append(1)),
    "set": lambda: of_container(set, lambda s: s.add(len(s))),
    "Counter": lambda: of_container(collections.Counter, lambda c: c.update([len(c)])),
    "pop": lambda: of_container(lambda: [1, 2, 3, 4], lambda c: c.pop()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_results_depend_on_is_refused(name):
    f = REFUSED[name]()
    with pytest.raises((StateInTrace, RandomInTrace)) as error:
        jit(f)(2.0)
    text = str(error.value)
    assert f"{os.path.basename(__file__)}:" in text and "argument" in text.split("\n")[-1]


@pytest.mark.parametrize(
    ("name", "slope", "counted"),
    [
        ("only_counts", 2.0, True),
        ("collects", 2.0, True),
        ("scratches", 2.0, False),
        ("makes_when_needed", 6.0, False),
        ("caches", 3.0, False),
    ],
)
def test_what_may_change(name, slope, counted):
    plain, model = Model(), Model()
    f, g = jit(getattr(model, name)), grad(getattr(Model(), name))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for x in (2.0, 3.0, 4.0):
            assert f(x) == getattr(plain, name)(x)
        assert [w.category for w in told] == [StateWritten] * counted
        assert g(2.0) == g(5.0) == slope
    assert f.cache_info().traces == 1
    assert (model.calls, len(model.log)) == ((1, 0) if name == "only_counts" else (0, counted))


def test_the_warning_names_the_remedy():
    log = []

    def f(x):
        log.append(0)
        return x * 2

    with pytest.warns(StateWritten, match=r"changes closure log: .*\n.* do it in the caller"):
        jit(f)(1.0)
    assert log == [0]


def test_what_one_path_puts_there_is_not_what_another_reads():
    box = types.SimpleNamespace()

    def f(x):
        box.h = np.ones(2) if x > 0 else np.full(2, 5.0)
        return np.sum(x * box.h)

    g = jit(f)
    assert [g(x) for x in (1.0, -1.0, 1.0, -2.0, 3.0)] == [2.0, -10.0, 2.0, -20.0, 6.0]


def test_the_last_element_of_a_large_array_is_a_part_of_its_content():
    table = np.zeros(LARGE // 4 + 1, "f4")  # its last bytes fill no word
    before = content_mark(table)
    table[-1] = 1
    assert content_mark(table) != before
    for part in (table[::2], table[:9][::-1], table[:8].reshape(4, 2)[:, 0]):
        before = content_mark(part)
        part[0] += 1
        assert content_mark(part) != before


# ------------------------------------------------------------------ live, however it is reached


class Thing:
    k = 2.0

    def __init__(self, **names):
        vars(self).update(names)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def run(self, x):
        return x * self.k


def uses(m, x):
    return x * m.k


def local_name(t):
    def f(x):
        c = t.inner
        return x * c.k

    return f


def with_block(t):
    def f(x):
        with t as c:
            return x * c.k

    return f


def loop_over(ts):
    def f(x):
        for t in ts:
            x = x * t.k
        return x

    return f


def decided_by(a):
    return lambda x: x * 2 if a[0] > 2.5 else x * x


Point = collections.namedtuple("Point", "a b")


@dataclasses.dataclass
class Data:
    a: float = 2.0


def lives():
    t, d, w = Thing(), {"k": 2.0}, np.array([2.0, 3.0])
    yield "helper", t, lambda x: uses(t, x), lambda: setattr(t, "k", 3.0)
    t1 = Thing(inner=Thing())
    yield "local", t1, local_name(t1), lambda: setattr(t1.inner, "k", 3.0)
    t2 = Thing()
    yield "with", t2, with_block(t2), lambda: setattr(t2, "k", 3.0)
    ts = [Thing(), Thing()]
    yield "loop", ts, loop_over(ts), lambda: setattr(ts[1], "k", 3.0)
    yield "comprehension", ts, lambda x: x * sum(t.k for t in ts), lambda: setattr(ts[0], "k", 7.0)
    yield "getattr", t, lambda x: x * getattr(t, "k"), lambda: setattr(t, "k", 5.0)  # noqa: B009
    yield "absent", t, lambda x: x * getattr(t, "z", 1.0), lambda: setattr(t, "z", 5.0)
    yield "hasattr", t, lambda x: x if hasattr(t, "y") else x * x, lambda: setattr(t, "y", 5.0)
    yield "vars", t, lambda x: x * vars(t)["k"], lambda: setattr(t, "k", 9.0)
    yield "class", t, lambda x: x * type(ts[0]).k, lambda: setattr(Thing, "k", 4.0)
    yield "method", t, lambda x: t.run(x), lambda: setattr(Thing, "run", lambda s, x: x * 11)
    a = Thing(act=np.sin)
    yield "function", a, lambda x: a.act(x), lambda: setattr(a, "act", np.cos)
    yield "partial", d, functools.partial(lambda x, d: x * d["k"], d=d), lambda: d.update(k=5.0)
    yield "keyword", d, functools.partial(keyword_default(d)), lambda: d.update(k=6.0)
    for make in (collections.OrderedDict, collections.Counter, type("D", (dict,), {})):
        box = make(k=2)
        yield make.__name__, box, lambda x, b=box: x * b["k"], functools.partial(box.update, k=5)
    q = collections.deque([1.0])
    yield "deque", q, lambda x: x * sum(q), lambda: q.append(3.0)
    long = [0.5] * 12_000
    yield "long", long, lambda x: x * long[7], lambda: long.__setitem__(7, 3.0)
    big = {k: (np.ones(1), float(k)) for k in range(200)}
    yield "entries", big, lambda x: x * big[long.index(3.0)][1], lambda: big.update({7: (0, 9.0)})
    yield "array decides", w, decided_by(w), lambda: w.__setitem__(0, 5.0)
    yield "item", w, lambda x: x * w[1].item(), lambda: w.__setitem__(1, 5.0)
    yield "float", w, lambda x: x * float(w[1]), lambda: w.__setitem__(1, 6.0)
    s = Thing(a=np.ones(2))
    yield "len", s, lambda x: x * len(s.a), lambda: setattr(s, "a", np.ones(3))
    yield "shape", s, lambda x: x * s.a.shape[0], lambda: setattr(s, "a", np.ones(4))
    p = Thing(p=Point(1.0, w))
    yield "named", p, lambda x: x * p.p.a, lambda: setattr(p, "p", Point(3.0, w))
    e = Data()
    yield "dataclass", e, lambda x: x * e.a, lambda: setattr(e, "a", 4.0)
    deep = {"a": {"b": [{"c": {"e": 2.0}}]}}
    yield "deep", deep, lambda x: x * dig(deep), lambda: deep["a"]["b"][0]["c"].update(e=5.0)


def other_ways():
    """Entries under any keys and in their order, and what stands for something else."""
    w = np.array([2.0, 3.0])
    keyed = {("a", 1): np.ones(1), Kind.ONE: np.ones(1), None: 2.0}
    yield "key", keyed, lambda x: x * keyed["a", 1][0], lambda: keyed.update({("a", 1): w})
    yield "enum", keyed, lambda x: x * keyed[Kind.ONE][0], lambda: keyed[Kind.ONE].fill(4.0)
    yield "None", keyed, lambda x: x * keyed[None], lambda: keyed.update({None: 3.0})
    d = {"a": np.ones(1), "b": np.full(1, 2.0)}
    yield "order", d, folded(d), lambda: d.update(a=d.pop("a"))
    n = {"a": np.ones(1)}
    yield "name", n, folded_names(n), lambda: n.update([(f"{k}b", n.pop(k)) for k in list(n)])
    q = collections.OrderedDict(d)
    yield "moved", q, folded(q), lambda: q.move_to_end(next(iter(q)))
    t, s = Thing(), Thing()
    yield "shadow", t, lambda x: t.run(x), lambda: setattr(t, "run", lambda x: x * 7)
    helper = lambda x: x * 2  # noqa: E731
    code = (lambda x: x * 5).__code__
    yield "code", helper, lambda x: helper(x), lambda: setattr(helper, "__code__", code)
    var = contextvars.ContextVar("var", default=w)
    yield "variable", var, lambda x: x * var.get()[0], lambda: var.set(w * 4)
    yield "in variable", var, lambda x: x * var.get()[0], lambda: var.get().fill(6.0)
    ref = weakref.ref(s)
    yield "weak", s, lambda x: x * ref().k, lambda: setattr(s, "k", 8.0)
    raw = bytearray(b"ab")
    view = memoryview(raw)
    yield "memory", raw, lambda x: x * view[0], lambda: raw.__setitem__(0, 7)
    k = operator.attrgetter("inner.k")
    o = Thing(inner=Thing())
    yield "getter", o, lambda x: x * k(o), lambda: setattr(o.inner, "k", 9.0)
    big = np.arange(LARGE // 8 + 9.0)
    yield "swap", big, lambda x: x if big[3] < big[1] else x * 2, lambda: big[1:5].sort()
    big[1:5] = big[4:0:-1].copy()


def folded(d):
    def f(x):
        for v in d.values():
            x = x * v[0] + 1
        return x

    return f


def folded_names(d):
    return lambda x: sum(x * v[0] * len(k) for k, v in d.items())


Kind = enum.Enum("Kind", "ONE TWO")


def keyword_default(d):
    def f(x, *, d=d):
        return x * d["k"]

    return f


def dig(x):
    while not isinstance(x, float):
        x = next(iter(x.values() if isinstance(x, dict) else x))
    return x


def test_what_is_read_is_live():
    run = Thing.run
    try:
        for name, _, f, change in (*lives(), *other_ways()):
            g = jit(f)
            for _ in range(2):
                for x in (2.0, -3.0):
                    assert g(x) == pytest.approx(f(x)), name
                change()
            assert g.cache_info().traces <= 4, name
    finally:
        Thing.k, Thing.run = 2.0, run


class Above:
    def scale(self):
        return 2.0

    @property
    def offset(self):
        return 3.0

    @property
    def inherited(self):
        return 4.0


class Below(Above):
    def scale(self):
        return super().scale() + 1.0

    @property
    def offset(self):
        return super().offset


def test_properties_and_what_super_finds_are_watched(monkeypatch):
    below = Below()

    def f(x):
        return x * below.scale() + below.offset * below.inherited

    with options(interpret=True):
        g = jit(f)
        assert g(2.0) == f(2.0)
        monkeypatch.setattr(Above, "scale", lambda self: 12.0)
        assert g(2.0) == f(2.0)
        changes = (Above, "offset"), (Above, "inherited"), (Below, "offset")
        for k, (cls, name) in enumerate(changes, 5):
            monkeypatch.setattr(cls, name, property(lambda self, k=k: float(k)))
            assert g(2.0) == f(2.0)


# ------------------------------------------------------------------ files and the environment


def test_files_and_variables_are_watched(tmp_path, monkeypatch):
    path = tmp_path / "k.txt"

    def opened(x):
        with open(path) as file:
            return x * float(file.read())

    def text(x):
        return x * float(path.read_text())

    def loaded(x):
        return x * np.loadtxt(path)

    def variable(x):
        return x * float(os.environ.get("ADJIT_TEST_K", "1"))

    compiled = [jit(f) for f in (opened, text, loaded, variable)]
    for k in ("2", "31.5"):
        path.write_text(k)
        for _ in range(2):
            assert [g(2.0) for g in compiled] == [g.__wrapped__(2.0) for g in compiled]
        monkeypatch.setenv("ADJIT_TEST_K", k)
    assert all(g.cache_info().traces == 2 for g in compiled)


def test_variables_are_watched_however_often_their_class_has_changed(monkeypatch):
    """CPython 3.13 caches how a class that changed a thousand times is indexed, for ever."""
    kind = type(os.environ)
    for k in range(1100):
        monkeypatch.setattr(kind, "changes", k, raising=False)
        assert hasattr(os.environ, "changes")  # a look at it gives it its next version

    def f(x):
        return x * float(os.environ["ADJIT_TEST_K"])

    monkeypatch.setenv("ADJIT_TEST_K", "2")
    for _ in range(50):
        f(1.0)
    with options(interpret=True):
        g = jit(f)
        assert g(1.0) == 2.0
        monkeypatch.setenv("ADJIT_TEST_K", "3")
        assert g(1.0) == 3.0


def test_input_is_refused():
    with pytest.raises(AdjitError, match=r"input\(\) asks while tracing") as error:
        jit(lambda x: x * float(input()))(1.0)
    assert "test_state.py" in str(error.value)
