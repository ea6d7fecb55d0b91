"""A Numba target of our own: numbers, ranges, pointers, `math` and intrinsics, nothing else.

Numba's own CPU target registers everything it knows before it compiles the first line (and imports
scipy.linalg on the way): 0.35 s of a process's life.  This one registers what kernels use, 0.05 s.
It also compiles the `@njit` functions that kernels call, without wrappers, and remembers their
bitcode, also across processes.
"""

from numba.core import cpu, fastmathpass, registry, sigutils, target_extension, types, typing
from numba.core.typing import templates

from . import helpers

NAME = "adjit"


class Typing(typing.Context):
    """The typing rules of scalars and pointers."""

    def load_additional_registries(self) -> None:
        from numba.core.typing import cmathdecl, mathdecl, npydecl

        for module in (cmathdecl, mathdecl, npydecl):
            self.install_registry(module.registry)

    def resolve_function_type(self, func, args, kws):
        if isinstance(func, types.Dispatcher):
            pysig, args = func.dispatcher._compiler.fold_argument_types(args, kws)
            helper = helpers.get(func.dispatcher, tuple(map(types.unliteral, args)))
            return helper.signature.replace(pysig=pysig)
        return super().resolve_function_type(func, args, kws)


class Context(cpu.CPUContext):
    """Lowering of scalars and pointers; calls of `@njit` functions go to `helpers`."""

    def load_additional_registries(self) -> None:
        from numba.core import optional  # noqa: F401
        from numba.cpython import builtins, numbers, rangeobj, tupleobj  # noqa: F401
        from numba.cpython import cmathimpl, mathimpl
        from numba.np import npyimpl

        for module in (cmathimpl, mathimpl, npyimpl):
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
        key = fn.get_impl_key(sig.as_function()) if isinstance(fn, types.Callable) else None
        if isinstance(key, helpers.Helper):
            return key.caller(self)
        return super().get_function(fn, sig, _firstcall)

    def post_lowering(self, mod, library) -> None:
        """Set fast-math flags; unlike the base's, link no allocator in: kernels never allocate."""
        if self.fastmath:
            fastmathpass.rewrite_module(mod, self.fastmath)


_refreshing: list[bool] = []


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
