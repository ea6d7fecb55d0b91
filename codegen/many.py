"""One kernel that runs a kernel several times, on one set of arrays after the other."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from . import link
from .team import Member

NOGIL = 1 << 16  # elements: below it releasing the GIL costs more than it gives

# Sizes: the kernel's address, the number of runs, pointers and sizes of each; then its sizes.
CODE = """
define i64 @adjit_many(ptr %pointers, ptr %sizes, ptr %consts) {
entry:
  %p.address = load i64, ptr %sizes
  %kernel = inttoptr i64 %p.address to ptr
  %p.runs = getelementptr i64, ptr %sizes, i64 1
  %runs = load i64, ptr %p.runs
  %p.count = getelementptr i64, ptr %sizes, i64 2
  %count = load i64, ptr %p.count
  %p.step = getelementptr i64, ptr %sizes, i64 3
  %step = load i64, ptr %p.step
  %first = getelementptr i64, ptr %sizes, i64 4
  br label %next

next:
  %run = phi i64 [ 0, %entry ], [ %run.new, %again ]
  %here = phi ptr [ %pointers, %entry ], [ %here.new, %again ]
  %size = phi ptr [ %first, %entry ], [ %size.new, %again ]
  %left = icmp slt i64 %run, %runs
  br i1 %left, label %call, label %done

call:
  %status = call i64 %kernel(ptr %here, ptr %size, ptr %consts)
  %well = icmp eq i64 %status, 0
  br i1 %well, label %again, label %failed

again:
  %run.new = add i64 %run, 1
  %here.new = getelementptr ptr, ptr %here, i64 %count
  %size.new = getelementptr i64, ptr %size, i64 %step
  br label %next

failed:
  ret i64 %status

done:
  ret i64 0
}
"""


def member(
    address: int, pointers: int, sizes: Sequence[Sequence[int]], consts: Sequence[float]
) -> Member:
    """A kernel of all arrays of all runs; `sizes` are those of each run."""
    head = address, len(sizes), pointers, len(sizes[0])
    every = [n for one in sizes for n in one]
    return Member(_address(), pointers * len(sizes), (*head, *every), tuple(consts))


@functools.cache
def _address() -> int:
    """The loop around kernels, from the store if an earlier process compiled it."""
    code = link.compiled("adjit_many", CODE)
    return link.load_object(code, "adjit_many", {})
