"""A function becomes its derivative, its normal form, and plans of kernels: see `pipeline`.

what passes are made of:
    pipeline, replay, rewrite, rules, normal, dce
derivatives, batches, and what depends on what:
    jvp, vjp, batch, calls, lean, sparsity, reach
the normal form, by the rows that it is about:
    simplify, finish, fold, views, transposes, sums, products, dots, solves, diagonals, mirrors,
    tiles
what a derivative need not see, and where a last digit decides:
    masks, shifts, constant_shifts, jumps
gathers, writes and sorts: elements that are elsewhere:
    inward, outward, picks, puts, weave, ranks, orders
other values for the same numbers: planes of complex ones, scalars of small arrays, factors of
matrices:
    planes, scalars, elements, factorings, triangles, layouts
loops:
    trips, twins, licm, accumulations, carries, parts, inplace
from a function to steps: kernels, and what is done on the host:
    schedule, lower, residence, extents, absorb, rounding
the plan of a kernel: loops, and where values live:
    fuse, roots, operands, regions, promotions, recompute, storage, buffers, overwrite
programs cut along their rows:
    partition, stages, rowwise, halos, adding
"""
