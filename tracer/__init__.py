"""Plain Python on Tracers becomes a function of the IR.

one trace: its Tracers, its recorder, and what it gives:
    trace, tracer, record, recipes, ledger, facts, tree, place
what a Tracer understands: the tables, operators and ufuncs:
    surface, surface_all, surface_operators, surface_ufunc, surface_folds, surface_segments,
    promote, beyond
ndarray: attributes, indexing, shapes, and writing:
    surface_array, surface_array_api, array_api, surface_index, stretches, surface_shape,
    surface_join, surface_pad, surface_iterate, surface_windows, mutation
NumPy's functions:
    surface_reduce, surface_order, surface_quantile, surface_search, surface_sets,
    surface_choose, surface_bits, surface_poly, surface_signal
products, decompositions, transforms:
    surface_linalg, surface_decompositions, surface_einsum, surface_fft
SciPy's functions:
    surface_scipy, surface_scipy_linalg, surface_scipy_matrices, surface_special, surface_stats,
    distributions, surface_filters, surface_recursive, surface_splines, surface_sparse,
    surface_distance
what escapes NumPy's protocols:
    intercept, surface_make, caller, typed, listed, patterns, printing, impure, watch, moments
what a function reads outside: found, read again, guarded:
    state, scan, bytecode, find, paths, guards, content, watched, lent, alike, environment
what it may change, and what must not enter the program:
    handed, holdings, settling, hidden, snapshot
loops that are said: `adjit.range`, and bodies given as functions (`rolling` finds the others):
    ranges, range_errors, python_rounds, closing, wired, control
what cannot be traced, and why:
    errors, refusals, library, raised
"""
