"""Whole modules of LLVM's: a kernel's function, the parts of its straight lines, and its entry."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from time import perf_counter

import llvmlite.binding as llvm
from llvmlite import ir

from . import arithmetic, engine, nests, straight
from .direct import ELEMENTS, Compiler, Unsupported, is_apart
from .operations import F64, I8, I32, I64
from .source import Source

MANY_MATHS = 32  # vm functions outside loops that are still inlined
_STRAIGHT_MATHS = re.compile(r"^    \w+ = vm\.", re.M)
_LOOPS = re.compile(r"^ +(?:for|while) |\bblas\.", re.M)


class Parted(Compiler):
    """The function of a kernel whose long straight lines are functions of their own.

    Its constants are a table, of which each function reads what it needs.
    """

    def __init__(
        self,
        function: ir.Function,
        names: Sequence[str],
        body: Sequence[ast.stmt],
        cutter: nests.Cutter | None,
        runs: Sequence[straight.Run],
    ) -> None:
        given = len(function.args) - 1
        super().__init__(function, [*names[:given], straight.NAME], body, cutter)
        self.table = self.values.pop(straight.NAME)
        self.consts: straight.Places = {n: (k, F64) for k, n in enumerate(names[given:])}
        self.values = straight.Values(self.entry, [(self.table, self.consts)], self.values)
        self.frame = straight.Frame(self.entry)
        self.runs = runs

    def command(self, e: ast.Call) -> None:
        if not (isinstance(e.func, ast.Name) and e.func.id == straight.NAME):
            super().command(e)
            return
        run = self.runs[ast.literal_eval(e.args[0])]
        for part in run.parts:
            self.part(part)
        for name in run.leaves:
            place, kind = self.frame.places[name]
            self.values[name] = arithmetic.load(self.b, kind, self.frame.room, place)

    def part(self, part: straight.Part) -> None:
        """A call of a part's function, which is written here."""
        values = {n: self.name(n) for n in part.reads if self._is_here(n)}
        pointers = {n: v for n, v in values.items() if isinstance(v.type, ir.PointerType)}
        if not all(map(is_apart, pointers.values())):
            raise Unsupported("a straight line between pointers that may overlap")
        for name in values.keys() - pointers.keys():
            self.frame.keep(self.b, self.frame.room, name, values[name])
        args = [self.frame.room, self.table, *pointers.values()]
        name = f"{self.function.name}.part{len(self.b.module.functions)}"
        form = ir.FunctionType(ir.VoidType(), [a.type for a in args])
        fn = ir.Function(self.b.module, form, name)
        self.write(part, fn, list(pointers))
        self.b.call(fn, args)

    def write(self, part: straight.Part, fn: ir.Function, pointers: Sequence[str]) -> None:
        """The function of a part, which keeps what others read as soon as it is there."""
        inner = Compiler(fn, [straight.NAME, f"{straight.NAME}.consts", *pointers], [])
        inner.apart = self.apart
        frame, table, *_ = fn.args
        tables = [(frame, self.frame.places), (table, self.consts)]
        inner.values = straight.Values(inner.b, tables, inner.values)
        leaves = frozenset(part.leaves)
        for s in ast.parse(textwrap.dedent("\n".join(part.lines))).body:
            inner.statement(s)
            target = s.targets[0] if isinstance(s, ast.Assign) else None
            if isinstance(target, ast.Name) and target.id in leaves:
                self.frame.keep(inner.b, frame, target.id, inner.name(target.id))
        inner.b.ret_void()
        inner.done()

    def _is_here(self, name: str) -> bool:
        """Whether a value is known in the kernel's function alone, or may be another by now."""
        if name in self.slots:
            return True
        return name in self.values and name not in self.consts and name not in self.frame.places


def kernel_function(source: Source, module: ir.Module) -> ir.Function:
    """A kernel's function in a module, and the nests and parts it calls."""
    text, runs = straight.cut(source.text)
    tree = ast.parse(text).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise Unsupported("a kernel is one function")
    try:
        pointers = [ELEMENTS[p].as_pointer() for p in source.pointers]
    except KeyError as error:
        raise Unsupported(f"pointers to {error}") from None
    consts = [F64.as_pointer()] if runs else [F64] * source.n_consts
    kinds = [*pointers, *[I64] * source.n_sizes, *consts]
    fn = ir.Function(module, ir.FunctionType(I64, kinds), f"{source.name}.kernel")
    names = [a.arg for a in tree.args.args]
    given = fn, names, tree.body, nests.cutter(source.text)
    compiler = Parted(*given, runs) if runs else Compiler(*given)
    compiler.apart = len(_STRAIGHT_MATHS.findall(source.text)) > MANY_MATHS
    compiler.pieces(tree.body)
    return compiler.done()


def entry_function(module: ir.Module, kernel: ir.Function, source: Source, symbol: str) -> None:
    """`int64 symbol(void** pointers, int64* sizes, double* consts)` that calls the kernel."""
    pointer = I8.as_pointer()
    tables = [pointer.as_pointer(), I64.as_pointer(), F64.as_pointer()]
    entry = ir.Function(module, ir.FunctionType(I64, tables), symbol)
    b = ir.IRBuilder(entry.append_basic_block())
    kinds = kernel.function_type.args
    counts = (len(source.pointers), source.n_sizes, kinds.count(F64))
    words = [
        b.load(b.gep(table, [I32(i)]))
        for table, count in zip(entry.args, counts, strict=True)
        for i in range(count)
    ]
    if len(words) < len(kinds):  # its constants are a table
        words.append(entry.args[-1])
    args = [b.bitcast(v, t) if v.type != t else v for v, t in zip(words, kinds, strict=True)]
    b.ret(b.call(kernel, args))


def compile_object(source: Source, symbol: str) -> tuple[bytes, list[str], dict[str, float]]:
    """Object code of a kernel, the symbols it needs from outside, and where the time went."""
    start = perf_counter()
    module = ir.Module(symbol)
    kernel = kernel_function(source, module)
    entry_function(module, kernel, source, symbol)
    engine.target_machine()
    parsed = llvm.parse_assembly(str(module))
    parsed.triple = llvm.get_process_triple()
    parsed.data_layout = str(engine.target_machine().target_data)
    lowered = perf_counter()
    loops = _LOOPS.search(source.text) is not None
    (engine.optimise if loops else engine.straighten)(parsed)
    needs = [f.name for f in parsed.functions if f.is_declaration]
    code = engine.kernel_code(parsed, loops)
    return code, needs, {"frontend": lowered - start, "llvm": perf_counter() - lowered}
