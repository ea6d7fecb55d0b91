"""Types follow NumPy; the builder infers, lifts literals and numbers values."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import numpy as np
import pytest

from adjit.ir import Aval, Builder, Const, Value, ops, records
from adjit.ir.builder import current, literal
from adjit.ir.core import all_ops, definitions, use_counts
from adjit.ir.types import (
    KIND,
    NUMPY,
    aval_of,
    broadcast_shapes,
    default_dtype,
    name_of,
    promote,
    promote_weak,
)

# ------------------------------------------------------------------ types


@pytest.mark.parametrize(("a", "b"), list(itertools.product(NUMPY, NUMPY)))
def test_promotion_is_numpys(a: str, b: str) -> None:
    got = np.add(np.ones(2, NUMPY[a]), np.ones(2, NUMPY[b])).dtype
    assert NUMPY[promote(a, b)] == got


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("x", [True, 1, 1.0, 1j])
def test_python_numbers_are_weak(dtype: str, x: complex) -> None:
    got = np.add(np.ones(2, NUMPY[dtype]), x).dtype
    assert NUMPY[promote_weak(dtype, type(x))] == got
    assert NUMPY[default_dtype(type(x))] == np.asarray(x).dtype


@pytest.mark.parametrize(
    "shapes", [((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (4,)), ((0,), (1,)), ()]
)
def test_shapes_broadcast_as_numpys(shapes: tuple[tuple[int, ...], ...]) -> None:
    assert broadcast_shapes(*shapes) == np.broadcast_shapes(*shapes)


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"broadcast together with shapes \(3, 4\) \(5,\)"):
        broadcast_shapes((3, 4), (5,))


def test_names_of_dtypes() -> None:
    assert all(name_of(d) == name for name, d in NUMPY.items())
    assert aval_of(np.zeros((2, 3), np.float32)) == Aval("f32", (2, 3))
    assert str(Aval("f64", (3, 4))) == "f64[3,4]"
    assert str(Aval("bool")) == "bool[]"
    assert set(KIND.values()) == set("biufc")
    for foreign in (np.dtype(">f8"), np.dtype("U3"), np.dtype(object)):
        with pytest.raises(TypeError, match="not supported"):
            name_of(foreign)


# ------------------------------------------------------------------ constants


def test_constants_are_equal_by_bits() -> None:
    assert Const(0.0, "f64").key != Const(-0.0, "f64").key
    assert Const(np.nan, "f64").key == Const(np.nan, "f64").key
    assert Const(1, "f64").key != Const(1, "f32").key
    assert literal(2).aval.dtype == "i64"
    assert literal(np.float32(2)).aval.dtype == "f32"
    assert literal(2, "f32").data.dtype == np.float32


# ------------------------------------------------------------------ builder


def test_equal_ops_have_one_value() -> None:
    x = Value(Aval("f64", (3,)), "x")
    with Builder([x]) as b:
        assert ops.sin(x) is ops.sin(x)
        assert ops.mul(x, 0.0) is not ops.mul(x, -0.0)
        assert ops.sum_(x, axes=(0,)) is ops.sum_(x, axes=(0,))
        assert len(b.done([]).ops) == 4


def test_a_trace_keeps_equal_ops_apart() -> None:
    x = Value(Aval("f64"), "x")
    with Builder([x], number=False) as b:
        assert ops.sin(x) is not ops.sin(x)
        assert len(b.ops) == 2


def test_literals_take_their_partners_dtype() -> None:
    x, n = Value(Aval("f32", (3,))), Value(Aval("i64"))
    with Builder([x, n]) as b:
        assert (x * 2).dtype == "f32"
        assert (1 - x).dtype == "f32"
        assert (n + 1).dtype == "i64"
        assert ops.select(ops.less(n, 3), x, 0).dtype == "f32"
        with pytest.raises(TypeError, match=r"literal 0\.5 with an operand of dtype i64"):
            n + 0.5
        with pytest.raises(TypeError, match="neither a value nor a number"):
            ops.add(x, "1")
    assert [type(a) for a in b.ops[0].args] == [Value, Const]


def test_there_must_be_a_builder() -> None:
    with pytest.raises(RuntimeError, match="no builder is open"):
        current()
    with pytest.raises(RuntimeError, match="no builder is open"):
        ops.sin(Value(Aval("f64")))


def test_uses_and_definitions() -> None:
    x = Value(Aval("f64"))
    with Builder([x]) as b:
        y = x * x
        block = b.done([y, x])
    assert use_counts(block) == {x: 3, y: 1}
    assert definitions(block) == {y: block.ops[0]}
    assert list(all_ops(block)) == list(block.ops)


def _classes(dataclass):
    """The same classes of fields, by the standard library and by ours."""

    @dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: tuple[int, ...] = (1,)
        tags: list[str] = dataclasses.field(default_factory=list, compare=False)

    @dataclass
    class Base:
        a: int
        hidden: str = dataclasses.field(default="h", repr=False, kw_only=True)

        def __post_init__(self):
            self.a += 1

    @dataclass(eq=False)
    class Derived(Base):
        b: dict[str, int] = dataclasses.field(default_factory=dict, init=False)

    @dataclass(frozen=True)
    class Own:
        a: float = 2.0

        def __repr__(self):
            return "mine"

        def __eq__(self, other):
            return True

    return Point, Base, Derived, Own


@pytest.mark.parametrize("dataclass", [dataclasses.dataclass, records.dataclass])
def test_a_dataclass_is_that_of_the_standard_library(dataclass):
    """Its functions are compiled when they are first called, and mean the same."""
    point, base, derived, own = _classes(dataclass)
    p = point(3)
    assert p == point(3, (1,), ["other"]) != point(4) and hash(p) == hash(point(3))
    assert (p.x, p.y, p.tags) == (3, (1,), []) and p != (3, (1,)) and p.tags is not point(3).tags
    assert repr(p).endswith("Point(x=3, y=(1,), tags=[])")
    assert dataclasses.replace(p, x=5) == point(x=5) and copy.copy(p) == p == copy.deepcopy(p)
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        p.x = 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        del p.x
    with pytest.raises(TypeError, match="missing 1 required"):
        point()
    b = base(1, hidden="k")
    b.a += 1
    assert (b.a, b.hidden) == (3, "k") and repr(b).endswith("Base(a=3)") and base.__hash__ is None
    d = derived(1)
    assert d == derived(1) != base(1) and d.b == {} and d.hidden == "h" and d.a == 2
    with pytest.raises(TypeError):
        derived(1, {})
    assert repr(own()) == "mine" and own(1.0) == 5 and hash(own()) == hash(own(2.0))
    match p:
        case point(x, y):
            assert (x, y) == (3, (1,))
