"""Rung "plain": the same kernel through Numba's public API alone."""

from collections.abc import Callable
from functools import cache
from typing import Any

from numba import cfunc, njit, types
from numba.extending import intrinsic

from .source import Source

NUMBA_TYPES = {
    "f64": types.float64, "f32": types.float32,
    "i64": types.int64, "i32": types.int32, "i16": types.int16, "i8": types.int8,
    "u64": types.uint64, "u32": types.uint32, "u16": types.uint16, "u8": types.uint8,
    "bool": types.uint8, "c128": types.complex128, "c64": types.complex64,
}  # fmt: skip


@cache
def load(wanted: types.Type) -> Callable:
    """An intrinsic `load(table, index)` that reads one word of type `wanted` from a table."""

    @intrinsic
    def load_word(typingctx, table, index):
        def generate(context, builder, signature, args):
            word = context.get_value_type(wanted)
            address = builder.inttoptr(args[0], word.as_pointer())
            return builder.load(builder.gep(address, [args[1]]))

        return wanted(types.intp, types.intp), generate

    return load_word


def argument_types(source: Source) -> tuple[types.Type, ...]:
    """The Numba types of a kernel's parameters."""
    pointers = tuple(types.CPointer(NUMBA_TYPES[dtype]) for dtype in source.pointers)
    return pointers + (types.int64,) * source.n_sizes + (types.float64,) * source.n_consts


def compile_cfunc(function: Callable, source: Source) -> Any:
    """A numba cfunc `int64 entry(pointers, sizes, consts)` around the jitted kernel."""
    scope = {"kernel": njit(error_model="numpy", nogil=True)(function)}
    args = []
    columns = [(f"p_{dtype}", types.CPointer(NUMBA_TYPES[dtype])) for dtype in source.pointers]
    for i, (name, wanted) in enumerate(columns):
        scope[name] = load(wanted)
        args.append(f"{name}(pointers, {i})")
    scope["size"], scope["const"] = load(types.int64), load(types.float64)
    args += [f"size(sizes, {i})" for i in range(source.n_sizes)]
    args += [f"const(consts, {i})" for i in range(source.n_consts)]
    text = f"def entry(pointers, sizes, consts):\n    return kernel({', '.join(args)})\n"
    exec(compile(text, f"<entry of {source.name}>", "exec"), scope)
    return cfunc(types.int64(types.intp, types.intp, types.intp), nopython=True)(scope["entry"])
