"""SciPy's special functions by address, found without importing Numba.

Object code calls the external symbol `adjit_sp_NAME`; `address` tells where it is in this process.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Iterable

PREFIX = "adjit_sp_"

_UNARY = [
    "cosm1",
    "dawsn",
    "erfcinv",
    "erfcx",
    "erfi",
    "erfinv",
    "exp1",
    "exp10",
    "expi",
    "gamma",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "j0",
    "j1",
    "k0",
    "k0e",
    "k1",
    "k1e",
    "loggamma",
    "logit",
    "ndtri",
    "psi",
    "rgamma",
    "spence",
    "y0",
    "y1",
    "ellipk",
    "ellipe",
    "ellipkm1",
    "exprel",
    "zetac",
    *("bei", "beip", "ber", "berp", "kei", "keip", "ker", "kerp"),
    *("sindg", "cosdg", "tandg", "cotdg", "ndtri_exp", "wrightomega"),
    *("itstruve0", "itmodstruve0", "it2struve0"),
]
_BINARY = [
    "beta",
    "betaln",
    "binom",
    "ellipeinc",
    "ellipkinc",
    "expn",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
    "iv",
    "ive",
    "jv",
    "jve",
    "kv",
    "kve",
    "owens_t",
    "poch",
    "pseudo_huber",
    "yv",
    "yve",
    "stdtr",
    "chdtr",
    "chdtrc",
    "chdtri",
    "pdtr",
    "pdtrc",
    "hyp0f1",
    *("agm", "boxcox1p", "inv_boxcox", "inv_boxcox1p", "powm1", "elliprc", "pdtri"),
    *("struve", "modstruve", "stdtrit", "tklmbda"),
]
_TERNARY = [
    *("bdtr", "bdtrc", "bdtri", "nbdtr", "nbdtrc", "nbdtri", "fdtr", "fdtrc", "fdtri"),
    *("betainc", "betaincc", "betaincinv", "betainccinv", "gdtr", "gdtrc", "gdtria", "gdtrix"),
    *("hyp1f1", "hyperu", "voigt_profile", "wright_bessel", "log_wright_bessel", "radian"),
    *("elliprd", "elliprf", "elliprg", "chndtr", "chndtrix", "lpmv"),
]
_QUATERNARY = ["elliprj", "hyp2f1"]

# SciPy's name of each function that kernels may call, and the number of its (real) arguments.
SPECIAL: dict[str, int] = {
    **dict.fromkeys(_UNARY, 1),
    **dict.fromkeys(_BINARY, 2),
    **dict.fromkeys(_TERNARY, 3),
    **dict.fromkeys(_QUATERNARY, 4),
}


@functools.cache
def _capsules() -> dict[str, object]:
    """What scipy.special.cython_special exports to C: `double f(double, ..., int)` among others."""
    return dict(importlib.import_module("scipy.special.cython_special").__pyx_capi__)


def _signature(capsule: object) -> bytes:
    get = ctypes.pythonapi.PyCapsule_GetName
    get.restype, get.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return bytes(get(capsule))


@functools.cache
def address(name: str) -> int:
    """The address of `double name(double, ..., int)`, the last argument of which is ignored."""
    wanted = f"double ({'double, ' * SPECIAL[name]}int __pyx_skip_dispatch)".encode()
    for exported in (name, f"__pyx_fuse_1{name}", f"__pyx_fuse_0{name}"):
        capsule = _capsules().get(exported)
        if capsule is not None and _signature(capsule) == wanted:
            get = ctypes.pythonapi.PyCapsule_GetPointer
            get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
            return int(get(capsule, wanted))
    raise ImportError(f"this SciPy has no scipy.special.{name} for C callers; upgrade SciPy")


def resolve(symbols: Iterable[str]) -> dict[str, int]:
    """The addresses of external symbols, those that begin with PREFIX."""
    return {
        s: address(s.removeprefix(PREFIX)) for s in sorted(set(symbols)) if s.startswith(PREFIX)
    }
