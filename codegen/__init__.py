"""Plans become text, text becomes machine code, and calls enter it.

the text of a kernel:
    kernel, source, loops, emit, reader, indices, intervals, calls, regions, rounds, lines
loops and nests of a shape of their own:
    contiguous, halves, spikes, triangular, search, windows, small, slopes, lapack, copies,
    tapes
from text to machine code: the rungs, and the store:
    compile, direct, lean, plain, nests, straight, modules, cache
LLVM and this machine:
    engine, link, elf, target, host, vectors, hints, interrupts
machine operations (`ll`), as both readers of the text emit them:
    machine, lowlevel, irmath, arithmetic, operations, helpers
vector maths (`vm`):
    vecmath, elementary, trigonometry, power, gammas, coefficients, rare
SciPy's functions (`sp`):
    special, special_symbols
BLAS and LAPACK (`blas`):
    blas, routines, symbols, definite, threads
products of matrices and convolutions of our own:
    products, narrow, packing, panels, forms, convolve, depthwise, single, shares
programs: kernels and host steps in order, in parts, in threads:
    program, footprint, memory, parallel, team, turns, contest, many
what CPython calls:
    entry, trampoline, front, front_words, front_code, front_arguments, front_results,
    front_array
"""
