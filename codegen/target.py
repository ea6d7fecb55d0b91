"""A Numba target of our own: numbers, ranges, pointers, `math` and intrinsics, nothing else.

Numba's own CPU target registers everything it knows before it compiles the first line (and imports
scipy.linalg on the way): 0.35 s of a process's life.  This one registers what kernels use, 0.05 s.
It also compiles the `@njit` functions that kernels call, without wrappers, and remembers their
bitcode, also across processes.
"""

from numba.core import (
    cpu,
    datamodel,
    errors,
    fastmathpass,
    registry,
    sigutils,
    target_extension,
    types,
    typing,
)
from numba.core.typing import cmathdecl, mathdecl, templates
from numba.cpython import builtins, cmathimpl, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401

from . import helpers

NAME = "adjit"


class Remembered(types.Function):
    """A function that remembers its typing, failures too: Numba asks five times per `a + b`."""

    def __init__(self, template) -> None:
        self._answers: dict[tuple, templates.Signature | errors.TypingError] = {}
        super().__init__(template)

    def get_call_type(self, context, args, kws):
        if kws:
            return super().get_call_type(context, args, kws)
        key = tuple(args)
        if key not in self._answers:
            try:
                self._answers[key] = super().get_call_type(context, args, kws)
            except errors.TypingError as error:
                self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, errors.TypingError):
            raise answer.with_traceback(None)
        return answer

    def augment(self, other):
        if isinstance(other, types.Function) and other.typing_key == self.typing_key:
            return Remembered(self.templates + other.templates)
        return None


datamodel.register_default(Remembered)(datamodel.models.OpaqueModel)


class Typing(typing.Context):
    """The typing rules of scalars and pointers."""

    def load_additional_registries(self) -> None:
        for module in (cmathdecl, mathdecl):
            self.install_registry(module.registry)

    def resolve_function_type(self, func, args, kws):
        if isinstance(func, types.Dispatcher):
            pysig, args = func.dispatcher._compiler.fold_argument_types(args, kws)
            helper = helpers.get(func.dispatcher, tuple(map(types.misc.unliteral, args)))
            return helper.signature.replace(pysig=pysig)
        return super().resolve_function_type(func, args, kws)

    def _insert_global(self, gv, gty):
        if type(gty) is types.Function:
            gty = Remembered(gty.templates)
        super()._insert_global(gv, gty)


class Implementation:
    """Numba's lowering of a function, bound to the context that compiles at the moment."""

    def __init__(self, emit, context, signature) -> None:
        self._imp, self._context, self._signature = emit, context, signature
        self.libs = getattr(emit, "libs", ())

    def __call__(self, builder, args, loc=None):
        result = self._imp(self._context, builder, self._signature, args, loc=loc)
        self._context.add_linking_libs(self.libs)
        return result

    def __getattr__(self, name):
        return getattr(self._imp, name)


class Context(cpu.CPUContext):
    """Lowering of scalars and pointers; calls of `@njit` functions go to `helpers`."""

    def load_additional_registries(self) -> None:
        for module in (cmathimpl, mathimpl):
            self.install_registry(module.registry)

    def refresh(self) -> None:
        """Load what is new; a template made on the way asks for this again, in vain."""
        if not _refreshing:
            _refreshing.append(True)
            try:
                super().refresh()
            finally:
                _refreshing.clear()

    def get_function(self, fn, sig, _firstcall=True):
        if isinstance(fn, types.Dispatcher):
            return helpers.get(fn.dispatcher, sig.args).caller(self)
        key = fn.get_impl_key(sig.as_function()) if isinstance(fn, types.Callable) else fn
        if isinstance(key, helpers.Helper):
            return key.caller(self)
        found = (key, sig.args, sig.return_type)
        if found not in _implementations:
            _implementations[found] = super().get_function(fn, sig, _firstcall)._imp
        return Implementation(_implementations[found], self, sig)

    def get_abi_sizeof(self, ty) -> int:
        """Size in bytes, remembered: LLVM is asked through a module made for the question."""
        name = str(ty)
        if name not in _sizes:
            _sizes[name] = super().get_abi_sizeof(ty)
        return _sizes[name]

    def post_lowering(self, mod, library) -> None:
        """Set fast-math flags; unlike the base's, link no allocator in: kernels never allocate."""
        if self.fastmath:
            fastmathpass.rewrite_module(mod, self.fastmath)


_refreshing: list[bool] = []
_implementations: dict[tuple, object] = {}
_sizes: dict[str, int] = {}


def add_ufuncs() -> bool:
    """Teach the target NumPy's ufuncs; says whether they are new to it."""
    from numba.core.typing import npydecl
    from numba.np import npyimpl

    contexts = Dispatcher.targetdescr
    new = npydecl.registry not in contexts.typing_context._registries
    contexts.typing_context.install_registry(npydecl.registry)
    contexts.target_context.install_registry(npyimpl.registry)
    return new


class Target(target_extension.CPU):
    """This machine, for kernels."""


class Descriptor(registry.CPUTarget):
    """The pair of contexts of the target."""

    @registry.cached_property
    def _toplevel_target_context(self) -> Context:
        return Context(self.typing_context, self._target_name)

    @registry.cached_property
    def _toplevel_typing_context(self) -> Typing:
        return Typing()


class Dispatcher(registry.CPUDispatcher):
    """What Numba looks the target's contexts up by."""

    targetdescr = Descriptor(NAME)

    def get_call_template(self, args, kws):
        pysig, args = self._compiler.fold_argument_types(args, kws)
        signature = helpers.get(self, tuple(args)).signature
        name = f"CallTemplate({self.py_func.__name__})"
        template = templates.make_concrete_template(name, key=name, signatures=[signature])
        return template, pysig, args, {}

    def get_overload(self, sig) -> helpers.Helper:
        return helpers.get(self, tuple(sigutils.normalize_signature(sig)[0]))


def jit(**options):
    """What Numba compiles the body of an `@overload` with."""
    return lambda function: Dispatcher(function, targetoptions=options)


target_extension.target_registry[NAME] = Target
target_extension.dispatcher_registry[Target] = Dispatcher
target_extension.jit_registry[Target] = jit
