"""Rung "direct": kernel text straight to LLVM, without Numba's front end.

Kernel text is a small language: loops over ranges, assignments, loads and stores through pointers,
scalar arithmetic, and calls of `ll`, `vm`, `sp` and `blas`.  This file reads that language with
Python's own parser and writes LLVM IR; what it does not know raises Unsupported, and the kernel
goes to Numba.  Nothing here imports Numba.
"""

from __future__ import annotations

import ast
import math
from collections import ChainMap, Counter
from collections.abc import Callable, Iterable, Sequence

from llvmlite import ir

from ..ir.records import dataclass
from . import arithmetic, hints, interrupts, machine, nests, operations, routines, tapes
from .elementary import BODIES as ELEMENTARY
from .gammas import BODIES as GAMMAS
from .irmath import Num, emit
from .operations import F32, F64, I1, I8, I32, I64
from .power import BODIES as POWER
from .special_symbols import PREFIX as SPECIAL_PREFIX
from .special_symbols import SPECIAL
from .trigonometry import BODIES as TRIGONOMETRY

TYPES = {"f64": F64, "f32": F32, "i64": I64, "bool": I1}
ELEMENTS = {"f64": F64, "f32": F32, "i64": I64, "bool": I8}
BYTES = {"f64": 8, "f32": 4, "i64": 8, "bool": 1}
MATHS = {**ELEMENTARY, **TRIGONOMETRY, **POWER, **GAMMAS}
COMPARE = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
REAL = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
ARITHMETIC = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
BITS = {ast.BitOr: "or_", ast.BitAnd: "and_", ast.BitXor: "xor"}


class Unsupported(Exception):
    """A construct that only Numba's front end knows."""


@dataclass(frozen=True)
class Slot:
    """A local variable: its stack slot and type; LLVM turns it into registers."""

    place: ir.Value
    kind: ir.Type


class Compiler:
    """Writes one function: a kernel, or a nest of a long one."""

    def __init__(
        self,
        function: ir.Function,
        parameters: Sequence[str],
        body: Sequence[ast.stmt],
        cutter: nests.Cutter | None = None,
        shared: dict[object, ir.Function] | None = None,
    ) -> None:
        self.function = function
        self.cutter = cutter
        self.shared = {} if shared is None else shared  # nests that are functions already
        function.linkage = "internal"
        # Inlined it would lose the no-overlap promise of its parameters.
        function.attributes.add("noinline")
        self.entry = ir.IRBuilder(function.append_basic_block("entry"))
        self.b = ir.IRBuilder(function.append_basic_block("body"))
        self.first = self.b.block
        self.values: dict[str, ir.Value] = {}
        self.slots: dict[str, Slot] = {}
        self.alone: set[ir.Value] = set()  # pointers that are alone in their round
        self.exits: list[ir.Block] = []  # where a `break` goes
        self.depth = 0  # of loops around what is being written
        self.apart = False  # whether maths outside loops is called, not inlined
        assigned = Counter(nests.targets(body))
        self.assigned = {name for name, n in assigned.items() if n > 1}  # these need a slot
        for name, parameter in zip(parameters, function.args, strict=True):
            if isinstance(parameter.type, ir.PointerType):
                parameter.add_attribute("noalias")
            if name in assigned:
                self.assigned.add(name)
                self.assign(ast.Name(name), parameter)
            else:
                self.values[name] = parameter

    def done(self) -> ir.Function:
        self.entry.branch(self.first)
        return self.function

    # ---------------------------------------------------------------- statements

    def pieces(self, statements: Iterable[ast.stmt], least: int = 0) -> None:
        """Statements whose loops become functions if the kernel is long."""
        if self.cutter is None or not self.cutter.long:
            self.block(statements)
        else:
            self.cut(self.cutter, statements, least)

    def round(self, body: Sequence[ast.stmt]) -> None:
        """A round: the pointers that it names first are apart in a function of the rest."""
        first = nests.heads(body)
        if not first or self.cutter is None:
            self.block(body)
            return
        self.block(body[:first])
        nest = self.cutter.whole(body[first:], ChainMap(self.values, self.slots))
        if nest is None:
            self.cut(self.cutter, body[first:])
        else:
            self.nest(nest)

    def cut(self, cutter: nests.Cutter, statements: Iterable[ast.stmt], least: int = 0) -> None:
        for piece in cutter.pieces(statements, ChainMap(self.values, self.slots), least):
            if isinstance(piece, nests.Nest):
                self.nest(piece)
            else:
                self.statement(piece)

    def nest(self, piece: nests.Nest) -> None:
        """A call of the nest's function, which is written at its first use."""
        args = [self.name(n) for n in piece.reads]
        pointers = [a for a in args if isinstance(a.type, ir.PointerType)]
        if any(not (is_apart(a) or a in self.alone) for a in pointers):
            self.block(piece.statements)
            return
        key = (piece.shape, *(str(a.type) for a in args))
        fn = self.shared.get(key)
        if fn is None:
            fn = self.shared[key] = self.written(piece, [a.type for a in args])
        made = self.b.call(fn, args)
        for k, name in enumerate(piece.leaves):
            self.assign(ast.Name(name), self.b.extract_value(made, k))

    def written(self, piece: nests.Nest, kinds: Sequence[ir.Type]) -> ir.Function:
        given = dict(zip(piece.reads, kinds, strict=True))
        form = ir.LiteralStructType([given[n] for n in piece.leaves])
        returns = form if piece.leaves else ir.VoidType()
        fn = ir.Function(
            self.b.module,
            ir.FunctionType(returns, list(kinds)),
            f"{self.function.name}.nest{len(self.shared)}",
        )
        inner = Compiler(fn, piece.reads, piece.statements, self.cutter, self.shared)
        if piece.round:
            inner.pieces(piece.statements, nests.LEAST)
        else:
            inner.block(piece.statements)
        if not piece.leaves:
            inner.b.ret_void()
        else:
            result: ir.Value = ir.Constant(form, ir.Undefined)
            for k, name in enumerate(piece.leaves):
                result = inner.b.insert_value(result, inner.name(name), k)
            inner.b.ret(result)
        return inner.done()

    def block(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, s: ast.stmt) -> None:
        if isinstance(s, ast.Assign):
            (target,) = s.targets
            self.assign(target, self.value(s.value), _is_literal(s.value))
        elif isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name):
            both = ast.BinOp(ast.Name(s.target.id), s.op, s.value)
            self.assign(s.target, self.value(both))
        elif isinstance(s, ast.For):
            self.loop(s)
        elif isinstance(s, ast.If):
            self.branch(s)
        elif isinstance(s, ast.While):
            self.forever(s)
        elif isinstance(s, ast.Break) and self.exits:
            self.b.branch(self.exits[-1])
        elif isinstance(s, ast.Expr) and isinstance(s.value, ast.Call):
            self.command(s.value)
        elif isinstance(s, ast.Return) and s.value is not None:
            self.b.ret(self.value(s.value))
        elif not isinstance(s, ast.Pass):
            raise Unsupported(ast.unparse(s))

    def assign(self, target: ast.expr, value: ir.Value, literal: bool = False) -> None:
        if isinstance(target, ast.Subscript):
            pointer = self.address(target)
            kind = pointer.type.pointee
            if value.type == I1 and kind == I8:
                value = self.b.zext(value, I8)
            if literal and kind == F32 and value.type == F64:
                value = F32(value.constant)
            if value.type != kind:
                raise Unsupported(f"a {value.type} stored as {kind}")
            self.b.store(value, pointer)
            return
        if not isinstance(target, ast.Name):
            raise Unsupported(ast.unparse(target))
        if target.id not in self.assigned:
            self.values[target.id] = value
            return
        slot = self.slots.get(target.id)
        if slot is None:
            slot = Slot(self.entry.alloca(value.type), value.type)
            self.slots[target.id] = slot
        if slot.kind != value.type:
            raise Unsupported(f"{target.id} is {slot.kind} and {value.type}")
        self.b.store(value, slot.place)

    def loop(self, s: ast.For) -> None:
        if not (isinstance(s.iter, ast.Call) and isinstance(s.target, ast.Name)):
            raise Unsupported(ast.unparse(s))
        bounds = [self.value(a) for a in s.iter.args]
        low = bounds[0] if len(bounds) > 1 else I64(0)
        high = bounds[1] if len(bounds) > 1 else bounds[0]
        step = bounds[2] if len(bounds) > 2 else I64(1)
        body = self.function.append_basic_block("loop")
        after = self.function.append_basic_block("after")
        before = self.b.block
        self.b.cbranch(self.b.icmp_signed("<", low, high), body, after)
        self.b.position_at_end(body)
        index = self.b.phi(I64)
        index.add_incoming(low, before)
        self.values[s.target.id] = index
        self.depth += 1
        if nests.heads(s.body):
            self.round(s.body)
        elif nests.over_blocks(s):
            self.pieces(s.body)
        elif nests.length(s) > nests.LONG:
            self.pieces(s.body, nests.LEAST)
        else:
            self.block(s.body)
        self.depth -= 1
        following = self.b.add(index, step, flags=("nsw",))
        index.add_incoming(following, self.b.block)
        back = self.b.cbranch(self.b.icmp_signed("<", following, high), body, after)
        if (told := hints.told(s, self.b.module, body)) is not None:
            back.set_metadata("llvm.loop", told)
        self.b.position_at_end(after)

    def forever(self, s: ast.While) -> None:
        """`while True:`, which a `break` in it leaves."""
        if not (isinstance(s.test, ast.Constant) and s.test.value is True):
            raise Unsupported(ast.unparse(s.test))
        body = self.function.append_basic_block("while")
        after = self.function.append_basic_block("after")
        self.b.branch(body)
        self.b.position_at_end(body)
        self.exits.append(after)
        self.round(s.body)
        self.exits.pop()
        self.b.branch(body)
        self.b.position_at_end(after)

    def branch(self, s: ast.If) -> None:
        condition = self.truth(s.test)
        if not s.orelse:
            with self.b.if_then(condition):
                self.block(s.body)
            return
        with self.b.if_else(condition) as (then, otherwise):
            with then:
                self.block(s.body)
            with otherwise:
                self.block(s.orelse)

    # ---------------------------------------------------------------- expressions

    def value(self, e: ast.expr) -> ir.Value:
        if isinstance(e, ast.Name):
            return self.name(e.id)
        if isinstance(e, ast.Constant):
            return self.constant(e.value)
        if isinstance(e, ast.BinOp):
            return self.binary(e.op, *self.operands([e.left, e.right]))
        if isinstance(e, ast.UnaryOp):
            return self.unary(e)
        if isinstance(e, ast.Compare) and len(e.ops) == 1:
            return self.compare(e.ops[0], *self.operands([e.left, e.comparators[0]]))
        if isinstance(e, ast.BoolOp):
            return self.truth(e)
        if isinstance(e, ast.IfExp):
            return self.choice(e)
        if isinstance(e, ast.Call):
            return self.call(e)
        if isinstance(e, ast.Attribute) and isinstance(e.value, ast.Name) and e.value.id == "math":
            return F64(getattr(math, e.attr))
        if isinstance(e, ast.Subscript):
            return self.b.load(self.address(e))
        raise Unsupported(ast.unparse(e))

    def operands(self, expressions: list[ast.expr]) -> list[ir.Value]:
        """The values of operands; a literal takes the type of the reals it stands among."""
        values = [self.value(e) for e in expressions]
        if True not in [v.type is F32 for v in values]:
            return values
        literal = [_is_literal(e) for e in expressions]
        kinds = {v.type for v, k in zip(values, literal, strict=True) if not k}
        if F32 not in kinds or F64 in kinds:
            return values
        return [
            ir.Constant(F32, v.constant) if k and v.type == F64 else v
            for v, k in zip(values, literal, strict=True)
        ]

    def name(self, name: str) -> ir.Value:
        slot = self.slots.get(name)
        return self.values[name] if slot is None else self.b.load(slot.place)

    def constant(self, x: object) -> ir.Value:
        if isinstance(x, bool):
            return I1(x)
        if isinstance(x, int):
            return I64(x)
        if isinstance(x, float):
            return F64(x)
        raise Unsupported(repr(x))

    def address(self, e: ast.Subscript) -> ir.Value:
        pointer = self.value(e.value)
        return self.b.gep(pointer, [self.value(e.slice)], inbounds=True)

    def binary(self, op: ast.operator, a: ir.Value, b: ir.Value) -> ir.Value:
        if a.type is I8:  # a boolean as NumPy stores it
            a = self.b.zext(a, I64)
        if a.type is not b.type:
            raise Unsupported(f"{a.type} {type(op).__name__} {b.type}")
        real = a.type is F64 or a.type is F32
        if real and (name := REAL.get(type(op))) is not None:
            return arithmetic.put(self.b, name, a, b)
        if type(op) in ARITHMETIC and a.type is not I1:
            return getattr(self.b, ARITHMETIC[type(op)])(a, b)
        if isinstance(op, ast.Mod | ast.FloorDiv) and a.type == I64:
            quotient, rest = operations.divided(self.b, a, b)
            return rest if isinstance(op, ast.Mod) else quotient
        if type(op) in BITS and not real:
            return getattr(self.b, BITS[type(op)])(a, b)
        raise Unsupported(f"{type(op).__name__} of {a.type}")

    def unary(self, e: ast.UnaryOp) -> ir.Value:
        if isinstance(e.op, ast.USub):
            if isinstance(e.operand, ast.Constant):
                return self.constant(-e.operand.value)  # type: ignore[operator]
            x = self.value(e.operand)
            if isinstance(x, ir.Constant) and x.type == F64:
                return F64(-x.constant)
            if x.type == I1:
                raise Unsupported("minus a boolean")
            return self.b.fneg(x) if x.type in (F32, F64) else self.b.neg(x)
        x = self.value(e.operand)
        if (isinstance(e.op, ast.Not) and x.type == I1) or isinstance(e.op, ast.Invert):
            return self.b.not_(x)
        raise Unsupported(ast.unparse(e))

    def compare(self, op: ast.cmpop, a: ir.Value, b: ir.Value) -> ir.Value:
        if a.type == I8:
            a = self.b.zext(a, I64)
        if a.type != b.type or type(op) not in COMPARE:
            raise Unsupported(f"{a.type} {type(op).__name__} {b.type}")
        sense = COMPARE[type(op)]
        if a.type == I1:
            return self.b.icmp_unsigned(sense, a, b)
        if a.type == I64:
            return self.b.icmp_signed(sense, a, b)
        ordered = self.b.fcmp_unordered if sense == "!=" else self.b.fcmp_ordered
        return ordered(sense, a, b)

    def truth(self, e: ast.expr) -> ir.Value:
        """A condition; both sides of `and` and `or` are names or comparisons, so all are taken."""
        if isinstance(e, ast.BoolOp):
            join = self.b.and_ if isinstance(e.op, ast.And) else self.b.or_
            first, *others = map(self.truth, e.values)
            for other in others:
                first = join(first, other)
            return first
        value = self.value(e)
        if value.type != I1:
            raise Unsupported(f"{value.type} as a condition")
        return value

    def choice(self, e: ast.IfExp) -> ir.Value:
        """A conditional expression: what is not taken is not read."""
        condition = self.truth(e.test)
        with self.b.if_else(condition) as (then, otherwise):
            with then:
                a = self.value(e.body)
                from_a = self.b.block
            with otherwise:
                c = self.value(e.orelse)
                from_c = self.b.block
        if a.type == I8:
            raise Unsupported("a masked boolean")
        if a.type != c.type:
            raise Unsupported(f"{a.type} or {c.type}")
        result = self.b.phi(a.type)
        result.add_incoming(a, from_a)
        result.add_incoming(c, from_c)
        return result

    # ---------------------------------------------------------------- calls

    def call(self, e: ast.Call) -> ir.Value:
        if e.keywords:
            raise Unsupported(ast.unparse(e))
        args = self.operands(e.args)
        if isinstance(e.func, ast.Name):
            return self.builtin(e.func.id, args)
        if not (isinstance(e.func, ast.Attribute) and isinstance(e.func.value, ast.Name)):
            raise Unsupported(ast.unparse(e))
        room, name = e.func.value.id, e.func.attr
        rooms: dict[str, Callable[[str, list[ir.Value]], ir.Value]] = {
            "ll": self.machine,
            "vm": self.maths,
            "sp": self.special,
        }
        if room == "blas" and name == "at":
            return self.b.gep(args[0], [args[1]])
        if room == "blas":
            found = routines.emit(self.b, self.entry.alloca, name, args)
            if found is not None:
                return found
        if room not in rooms:
            raise Unsupported(ast.unparse(e))
        return rooms[room](name, args)

    def builtin(self, name: str, args: list[ir.Value]) -> ir.Value:
        if any(a.type != I64 for a in args):
            raise Unsupported(f"{name} of {[str(a.type) for a in args]}")
        if name == "abs":
            (x,) = args
            return self.b.select(self.b.icmp_signed("<", x, I64(0)), self.b.neg(x), x)
        if name in ("min", "max") and len(args) == 2:
            a, b = args
            return self.b.select(self.b.icmp_signed("<" if name == "min" else ">", a, b), a, b)
        raise Unsupported(name)

    def tape(self, dtype: str, args: list[ir.Value]) -> ir.Value:
        """`ll.tape_f64(cells, place, rows, size)`: room for rows of that many elements."""
        if dtype not in ELEMENTS:
            raise Unsupported(f"a tape of {dtype}")
        words, place, rows, size = args
        address = tapes.room(self.b, words, place, rows, size, BYTES[dtype])
        return self.b.bitcast(address, ELEMENTS[dtype].as_pointer())

    def machine(self, name: str, args: list[ir.Value]) -> ir.Value:
        if name.startswith("tape_"):
            return self.tape(name.removeprefix("tape_"), args)
        if name in ("apart", "few"):
            return args[0]
        if name == "alone":
            self.alone.add(args[0])
            return args[0]
        if name == "stopped":
            return interrupts.stopped(self.b)
        if name == "missing":
            return self.b.icmp_unsigned("==", self.b.ptrtoint(args[0], I64), I64(0))
        if name in TYPES:
            return operations.cast(self.b, args[0], TYPES[name])
        if name == "select":
            c, a, b = args
            if c.type != I1 or a.type != b.type:
                raise Unsupported("select of two types")
            return self.b.select(c, a, b)
        body = machine.BODIES.get(name)
        if body is None or any(a.type not in (F32, F64) or a.type != args[0].type for a in args):
            raise Unsupported(f"ll.{name} of {[str(a.type) for a in args]}")
        return body(*(Num(self.b, a) for a in args)).value

    def maths(self, name: str, args: list[ir.Value]) -> ir.Value:
        stem, kind = _suffix(name)
        if stem not in MATHS or any(a.type != kind for a in args):
            raise Unsupported(f"vm.{name}")
        return emit(self.b, stem, MATHS[stem][1], args, inline=self.depth > 0 or not self.apart)

    def special(self, name: str, args: list[ir.Value]) -> ir.Value:
        stem, kind = _suffix(name)
        if stem not in SPECIAL or any(a.type != kind for a in args):
            raise Unsupported(f"sp.{name}")
        wide = [a if kind == F64 else self.b.fpext(a, F64) for a in args]
        form = ir.FunctionType(F64, [F64] * len(args) + [I32])
        fn = operations.declared(self.b.module, SPECIAL_PREFIX + stem, form)
        fn.attributes.add("nounwind")
        y = self.b.call(fn, [*wide, I32(0)])
        return y if kind == F64 else self.b.fptrunc(y, F32)

    def command(self, e: ast.Call) -> None:
        """A call that is a statement."""
        if isinstance(e.func, ast.Attribute) and e.func.attr == "ahead":
            pointer, start, n = map(self.value, e.args)
            size = {F32: 4, F64: 8}[pointer.type.pointee]
            operations.ahead(self.b, pointer, start, n.constant * size // operations.LINE)
        elif not self.routine(e):
            self.product(e)

    def routine(self, e: ast.Call) -> bool:
        """`blas.dtrsm(…)` and its like as a statement; whether it was one of them."""
        named = isinstance(e.func, ast.Attribute) and e.func.attr[1:] in routines.ROUTINES
        if named:
            self.call(e)
        return named

    def product(self, e: ast.Call) -> None:
        """`blas.dgemm(…)` or `blas.sgemm(…)` as a statement."""
        if not (
            isinstance(e.func, ast.Attribute)
            and isinstance(e.func.value, ast.Name)
            and e.func.value.id == "blas"
            and e.func.attr in ("dgemm", "sgemm")
        ):
            raise Unsupported(ast.unparse(e))
        real = F64 if e.func.attr == "dgemm" else F32
        args = [self.value(x) for x in e.args]
        args = [operations.cast(self.b, x, real) if x.type in (F32, F64) else x for x in args]
        product = operations.product(self.b.module, e.func.attr, real, tiled=len(args) > 13)
        self.b.call(product, args)


def _is_literal(e: ast.expr) -> bool:
    e = e.operand if isinstance(e, ast.UnaryOp) else e
    if isinstance(e, ast.Attribute):
        return isinstance(e.value, ast.Name) and e.value.id == "math"
    return isinstance(e, ast.Constant)


def _suffix(name: str) -> tuple[str, ir.Type]:
    """A function's name without its width, and the width's type."""
    return name[:-2], F64 if name.endswith("64") else F32


def is_apart(pointer: ir.Value) -> bool:
    """Whether nothing else in a kernel points to the same memory."""
    if isinstance(pointer, ir.CastInstr):  # a tape
        return True
    return isinstance(pointer, ir.Argument)
