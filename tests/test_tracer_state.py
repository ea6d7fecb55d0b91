"""Captured state is live: arrays are re-read, numbers guarded; nested traces; inlining."""

import functools
import types

import numpy as np
import pytest
from traced import evaluated

import adjit
from adjit.ir import interp
from adjit.tracer import errors, tree
from adjit.tracer.trace import captured, inline, is_tracer, is_tracing, lift, one_check, trace
from adjit.tracer.tracer import Tracer

X = np.arange(3.0) + 1
G = np.ones(3)
W = {"a": np.ones(3), "layers": [np.full(3, 2.0), np.full(3, 3.0)]}
rate = 0.5
config = types.SimpleNamespace(flag=True, scale=np.full(3, 2.0), depth={"n": 2})


def helper(x):
    return x * rate


def make(source, **names):
    """A function with its own globals, so that a test may rebind them."""
    space = {"np": np, **names, "__name__": "user"}
    exec(compile(source, __file__, "exec"), space)
    return space["f"], space


def holds(t):
    return all(g.check() for g in t.guards)


def paths(t):
    return [c.path for c in t.captures]


def test_global_array_is_live():
    f, space = make("def f(x): return x * G", G=np.ones(3))
    t = trace(f, (X,))
    assert paths(t) == ["global G"] and t.captures[0].live
    space["G"][:] = 5  # in place
    assert holds(t)
    np.testing.assert_array_equal(evaluated(t, (X,)), X * 5)
    space["G"] = np.full(3, 7.0)  # rebound
    assert holds(t)
    np.testing.assert_array_equal(evaluated(t, (X,)), X * 7)
    del space["G"]
    with pytest.raises(LookupError):
        t.captures[0].read()


def test_closure_array_is_live():
    w = np.ones(3)

    def f(x):
        return x * w

    t = trace(f, (X,))
    assert paths(t) == ["closure w"]
    w = np.full(3, 4.0)
    np.testing.assert_array_equal(evaluated(t, (X,)), X * 4)


def test_containers_attributes_and_defaults():
    class Layer:
        def __init__(self):
            self.w = np.full(3, 3.0)

        def __call__(self, x):
            return x * self.w

    class Net:
        def __init__(self):
            self.layers = [Layer(), Layer()]
            self.on = True

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x if self.on else -x

    net = Net()
    t = trace(net.forward, (X,))
    assert len(t.captures) == 2 and all(c.live for c in t.captures)
    net.layers[1].w[:] = 5
    assert holds(t)
    np.testing.assert_array_equal(evaluated(t, (X,)), net.forward(X))
    net.on = False
    assert not holds(t)
    t = trace(lambda x, w=np.ones(3): x * w, (X,))  # noqa: B008
    assert t.captures[0].live
    t = trace(lambda x: x * W["a"] + W["layers"][1] + config.scale, (X,))
    assert paths(t) == ["global W['a']", "global W['layers'][1]", "global config.scale"]
    t = trace(functools.partial(lambda n, x: n.forward(x), net), (X,))
    assert len(t.captures) == 2 and all(c.live for c in t.captures)


def test_object_argument_is_state():
    model = types.SimpleNamespace(w=np.ones(3), k=2.0)
    t = trace(lambda m, x: x * m.w * m.k, (model, X))
    assert len(t.captures) == 1 and t.captures[0].live
    assert holds(t)
    model.k = 3.0
    assert not holds(t)


def test_numbers_are_guarded():
    f, space = make(
        "def g(x): return x * rate\ndef f(x): return g(x) if flag else -x", rate=0.5, flag=True
    )
    for name, new in (("rate", 0.25), ("flag", False), ("g", lambda x: x)):
        t = trace(f, (X,))
        assert holds(t)
        old, space[name] = space[name], new
        assert not holds(t)
        assert any(name in g.describe() for g in t.guards)
        space[name] = old
        assert holds(t)


def test_attributes_and_items_are_guarded():
    t = trace(lambda x: x * config.depth["n"] if config.flag else x, (X,))
    assert holds(t)
    config.depth["n"] = 3
    assert not holds(t)
    config.depth["n"] = 2
    assert holds(t)
    config.flag = False
    assert not holds(t)
    config.flag = True


def test_what_is_derived_is_guarded_by_content():
    f, space = make("def f(x): return (G * 2) * x", G=np.ones(3))
    t = trace(f, (X,))
    assert not t.captures[0].live and "made while tracing at" in t.captures[0].path
    assert holds(t)
    space["G"][1] = 10
    assert not holds(t)
    f, space = make("def f(x): return x * G.max()", G=np.ones(3))
    t = trace(f, (X,))
    assert holds(t)
    space["G"][1] = 10
    assert not holds(t)


def test_views_of_live_arrays_are_live():
    f, space = make("def f(x): return G.T @ x + G[1] + G[::-1, 1]", G=np.arange(9.0).reshape(3, 3))
    t = trace(f, (X,))
    assert all(c.live for c in t.captures)
    space["G"] += 5
    assert holds(t)
    np.testing.assert_array_equal(evaluated(t, (X,)), f(X))
    space["G"] = np.asfortranarray(space["G"])
    assert not holds(t)


def test_copies_of_live_arrays_are_live():
    f, space = make(
        "def f(x):\n z = np.copy(G)\n z[0] = x[0]\n w = np.array(G)\n w += x\n return z + w",
        G=np.ones(3),
    )
    t = trace(f, (X,))
    space["G"][:] = 4
    assert holds(t)
    np.testing.assert_array_equal(evaluated(t, (X,)), f(X))


def test_concrete_branch_on_state_is_guarded():
    f, space = make(
        "def f(x):\n z = np.zeros(3)\n z[:] = G\n return x if z.sum() > 2 else -x", G=np.ones(3)
    )
    t = trace(f, (X,))
    assert holds(t)
    space["G"][:] = 0
    assert not holds(t)


def test_plain_array_written_between_uses():
    def f(x):
        z = np.arange(3)
        y = x * z
        z[0] = 7
        return y + x * z

    t = trace(f, (X,))
    np.testing.assert_array_equal(evaluated(t, (X,)), f(X))


def test_own_writes_settle():
    f, space = make("n = 0\ndef f(x):\n global n\n n += 1\n return x * 2")
    t = trace(f, (X,))
    assert space["n"] == 1 and holds(t)


def test_helpers_from_imports():
    f, _ = make(
        "from numpy import zeros, array\nfrom math import sin\n"
        "def g(x):\n z = zeros(3)\n z[0] = sin(x[0])\n return z\n"
        "def f(x): return g(x) + array([x[0], 1.0, x[1]])"
    )
    t = trace(f, (X,))
    np.testing.assert_allclose(evaluated(t, (2 * X,)), f(2 * X))


def test_seeded_draws_are_constants():
    def f(x):
        rng = np.random.default_rng(3)
        return x + rng.normal(size=3)

    t = trace(f, (X,))
    np.testing.assert_array_equal(evaluated(t, (2 * X,)), f(2 * X))
    rng = np.random.default_rng(0)
    with pytest.raises(errors.RandomInTrace, match="closure rng"):
        trace(lambda x: x + rng.normal(size=3), (X,))


# ------------------------------------------------------------------ nested


def test_nested_traces_capture_outer_tracers():
    seen = []

    def outer(x, a):
        y = x * 2
        t = trace(lambda v: v * y + a, (x,))
        seen.append(t)
        assert [is_tracer(c.value) for c in t.captures] == [True, True]
        (r,) = inline(t.function, [x, *captured(t)])
        return r + 1

    f = lambda x, a: x * (x * 2) + a + 1  # noqa: E731
    t = trace(outer, (X, 3.0))
    np.testing.assert_array_equal(evaluated(t, (X * 2, 5.0)), f(X * 2, 5.0))
    assert not is_tracing()


def test_nested_traces_share_live_captures():
    w = np.ones(3)

    def outer(x):
        t = trace(lambda v: v * w, (x,))
        (r,) = inline(t.function, [x, *captured(t)], ["array"])
        return r * w

    t = trace(outer, (X,))
    assert len(t.captures) == 1 and t.captures[0].live
    w[:] = 3
    np.testing.assert_array_equal(evaluated(t, (X,)), X * 9)


def test_nested_writes_are_refused():
    def outer(x):
        z = np.zeros(3)

        def inner(v):
            z[0] = v[0]
            return z

        return trace(inner, (x,)) and z

    with pytest.raises(errors.FrozenWrite, match="outside of the function"):
        trace(outer, (X,))


def test_lift_and_inline():
    t = trace(lambda x: (np.sin(x), x.sum()), (X,))

    def f(x):
        assert is_tracing() and type(lift(2.0)) is Tracer and lift(x) is x
        a, b = inline(t.function, [x], [o[2] for o in t.out_leaves])
        assert isinstance(b, np.float64)
        return a * b

    u = trace(f, (X,))
    np.testing.assert_allclose(evaluated(u, (X,)), np.sin(X) * X.sum())
    (c,) = interp.evaluate(u.function, X)
    assert c.shape == (3,)


# ------------------------------------------------------------------ containers


def test_tree():
    import collections
    import dataclasses

    point = collections.namedtuple("point", "a b")

    @dataclasses.dataclass
    class Box:
        w: object
        n: int = 3

    obj = {
        "w": [X, (1.0, True, None)],
        "p": point(2, "s"),
        "d": Box(X),
        "o": collections.OrderedDict(z=1),
    }
    leaves, t = tree.flatten(obj)
    assert len(leaves) == t.leaf_count == 6
    back = t.unflatten(leaves)
    assert back["p"] == point(2, "s") and back["d"].n == 3 and back["w"][1] == (1.0, True, None)
    again = tree.flatten(obj)[1]
    assert t == again and hash(t) == hash(again)
    assert t.paths("p")[0] == "p['w'][0]" and t.paths("p")[-1] == "p['o']['z']"
    assert tree.flatten((True,))[1] != tree.flatten((1,))[1]
    assert tree.flatten(("a",))[1] != tree.flatten(("b",))[1]
    for bad in (leaves[:-1], [*leaves, 1]):
        with pytest.raises(ValueError, match="leaves"):
            t.unflatten(bad)

    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

    tree.register_container(Pair, lambda p: ((p.a, p.b), None), lambda _, ab: Pair(*ab))
    leaves, t = tree.flatten(Pair(X, 2))
    assert t.unflatten([1, 2]).b == 2 and leaves[1] == 2
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        tree.flatten(loop)


def test_how_deep_containers_go():
    def nest(n, x):
        for _ in range(n):
            x = [x]
        return x

    def inner(a):
        while type(a) is list:
            (a,) = a
        return a

    deepest = nest(tree.DEEPEST, 2.0)
    with adjit.options(interpret=True):
        assert adjit.jit(lambda a: nest(90, inner(a)))(deepest) == nest(90, 2.0)
        assert inner(adjit.hessian(lambda a: inner(a) ** 3)(deepest)) == 12.0
    for bad in (nest(tree.DEEPEST + 1, 2.0), nest(3000, 2.0)):
        with pytest.raises(
            errors.UnsupportedArgument, match="more than 100 containers deep"
        ) as error:
            adjit.jit(inner)(bad)
        assert "flat list" in str(error.value) and len(error.traceback) < 20
    with pytest.raises(errors.UnsupportedArgument, match="more than 100 containers deep"):
        adjit.jit(lambda x: nest(300, x))(1.0)


def test_methods_of_objects_in_containers():
    f, space = make(
        "class Layer:\n"
        "    def __init__(self, w): self.w, self.act, self.epoch = w, 1, 0\n"
        "    def apply(self, x): return x * self.w * gain if self.act else x\n"
        "    def fit(self): self.epoch += 1\n"
        "class Net:\n"
        "    def __init__(self): self.layers = [Layer(np.ones(3)), Layer(np.ones(3))]\n"
        "    def __call__(self, x):\n"
        "        for layer in self.layers: x = layer.apply(x)\n"
        "        return x\n"
        "net = Net()\n"
        "def f(x): return net(x)\n",
        gain=2.0,
    )
    t = trace(f, (X,))
    assert sorted(paths(t)) == ["global net.layers[0].w", "global net.layers[1].w"]
    check = one_check(t.guards)
    assert holds(t) and check()
    space["net"].layers[0].fit()  # not what the trace read
    assert holds(t) and check()
    space["net"].layers[1].act = 0
    assert not holds(t) and not check()
    space["net"].layers[1].act = 1
    assert check()
    space["gain"] = 3.0
    assert not check()


def test_one_check_covers_every_kind():
    assert one_check(())()
    w, k = np.ones(3), 2.0
    t = trace(lambda x: (w * k) * x, (X,))
    check = one_check(t.guards)
    assert check()
    w[0] = 2
    assert not check()
    w[0] = 1
    assert check()
    k = 3.0
    assert not check()


def test_containers_are_guarded():
    f, space = make(
        "class Layer:\n"
        "    def __init__(self): self.w = np.ones(3)\n"
        "    def run(self, x): return x * self.w\n"
        "def f(x):\n"
        "    for s in sizes: x = x * s\n"
        "    for k in table: x = x + table[k]\n"
        "    for layer in layers: x = layer.run(x)\n"
        "    return x\n",
        sizes=[1, 2],
        table={"a": 0.5, "b": np.ones(3)},
    )
    space["layers"] = [space["Layer"](), space["Layer"]()]
    for change, undo in (
        (lambda: space["sizes"].append(3), lambda: space["sizes"].pop()),
        (lambda: space["table"].update(a=0.25), lambda: space["table"].update(a=0.5)),
        (lambda: space["table"].update(c=0.25), lambda: space["table"].pop("c")),
        (lambda: space["layers"].append(space["Layer"]()), lambda: space["layers"].pop()),
        (lambda: space["layers"].reverse(), lambda: space["layers"].reverse()),
    ):
        t = trace(f, (X,))
        check = one_check(t.guards)
        assert holds(t) and check()
        change()
        assert not holds(t) and not check()
        undo()
        assert holds(t) and check()
    space["table"]["b"][:] = 7
    assert check()
    np.testing.assert_array_equal(evaluated(t, (X,)), f(X))
