"""`@njit` functions that kernels call: compiled once, kept as bitcode, linked into each kernel."""

import hashlib
import json
from collections.abc import Callable

import llvmlite.binding as llvm
from numba.core import cgutils, compiler, types, typing

from ..ir.records import dataclass
from . import cache, engine

SCALARS = {
    str(t): t
    for t in (
        types.float64, types.float32, types.complex128, types.complex64, types.boolean, types.none,
        types.int64, types.int32, types.int16, types.int8,
        types.uint64, types.uint32, types.uint16, types.uint8,
    )
}  # fmt: skip
_known: dict[tuple[object, tuple[types.Type, ...]], "Helper"] = {}


@dataclass(frozen=True)
class Helper:
    """One function for one tuple of argument types, with Numba's calling convention."""

    symbol: str
    returns: types.Type
    args: tuple[types.Type, ...]
    bitcode: bytes

    @property
    def signature(self) -> typing.templates.Signature:
        """The types as Numba writes them."""
        return typing.signature(self.returns, *self.args)

    def caller(self, context) -> Callable:
        """What Numba's lowering calls to emit a call of the function."""

        def emit(builder, args, loc=None):
            context.active_code_library.add_helper(self)
            kind = context.call_conv.get_function_type(self.returns, self.args)
            function = cgutils.get_or_insert_function(builder.module, kind, self.symbol)
            status, result = context.call_conv.call_function(
                builder, function, self.returns, self.args, args
            )
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return result

        return emit


def get(dispatcher, args: tuple[types.Type, ...]) -> Helper:
    """The helper of an `@njit` function: remembered, else stored, else compiled."""
    key = (dispatcher, args)
    if key not in _known:
        function = dispatcher.py_func
        options = json.dumps(dispatcher.targetoptions, sort_keys=True, default=str)
        identity = f"{function.__module__}.{function.__qualname__} {args} {options}"
        ours = function.__module__.startswith(__package__ + ".")
        # The key of the store covers the text of this package's files, but no closure's contents.
        lasting = ours and "<locals>" not in identity
        if not lasting:
            identity += f" number {len(_known)}"
        digest = hashlib.sha256(identity.encode()).hexdigest()
        symbol = f"adjit.{function.__qualname__}.{digest[:16]}"
        helper = _stored(identity, symbol, args) if lasting else None
        if helper is None:
            helper = _compile(dispatcher, args, symbol, ours)
            if lasting and str(helper.returns) in SCALARS:
                meta = {"name": function.__qualname__, "returns": str(helper.returns)}
                cache.store(cache.key(identity), {".bc": helper.bitcode}, meta)
        _known[key] = helper
    return _known[key]


def _stored(identity: str, symbol: str, args: tuple[types.Type, ...]) -> Helper | None:
    entry = cache.load(cache.key(identity), (".bc",))
    if entry is None:
        return None
    return Helper(symbol, SCALARS[entry.meta["returns"]], args, entry.files[".bc"])


def _compile(dispatcher, args: tuple[types.Type, ...], symbol: str, ours: bool) -> Helper:
    from . import lean

    # Numba's own overloads may use any of Python; ours keep to what kernels are made of.
    pipelines = (lean.Pipeline, lean.PipelineWithSSA) if ours else (compiler.Compiler,)
    options = dispatcher.targetoptions
    flags = lean.flags(options.get("error_model", "python"), options.get("fastmath", False))
    library, result = lean.front_end(dispatcher.py_func, args, None, flags, symbol, pipelines)
    module = library.link(keep=result.fndesc.llvm_func_name)
    function = module.get_function(result.fndesc.llvm_func_name)
    function.name = symbol
    if options.get("forceinline"):
        function.add_function_attribute("alwaysinline")
    engine.optimise(module)
    module.get_function(symbol).linkage = "linkonce_odr"
    return Helper(symbol, result.signature.return_type, args, module.as_bitcode())


def parse(helper: Helper) -> llvm.ModuleRef:
    """A fresh module with the helper's definition."""
    return llvm.parse_bitcode(helper.bitcode)
