"""What compiled calls look at in arrays, in LLVM's language: the check, and what overlaps.

The record of an array is its dtype, its rank, the bits of its address that must be zero, and for
each axis the extent, the stride and the bits of the stride that matter (`entry.array_words`).

Offsets: object+8 type; array+16 data, 24 nd, 32 dimensions, 40 strides, 56 descr, 64 flags.
"""

CHECK = """
define internal i1 @adjit_array(ptr %object, ptr %record) alwaysinline {
  %type.at = getelementptr i8, ptr %object, i64 8
  %type = load ptr, ptr %type.at
  %plain = icmp eq ptr %type, @PyArray_Type
  br i1 %plain, label %dtype, label %no
dtype:
  %descr.at = getelementptr i8, ptr %object, i64 56
  %descr = load ptr, ptr %descr.at
  %descr.wanted = load ptr, ptr %record
  %descr.ok = icmp eq ptr %descr, %descr.wanted
  br i1 %descr.ok, label %rank, label %no
rank:
  %nd.at = getelementptr i8, ptr %object, i64 24
  %nd32 = load i32, ptr %nd.at
  %nd = sext i32 %nd32 to i64
  %nd.wanted.at = getelementptr i64, ptr %record, i64 1
  %nd.wanted = load i64, ptr %nd.wanted.at
  %nd.ok = icmp eq i64 %nd, %nd.wanted
  br i1 %nd.ok, label %place, label %no
place:
  %data.at = getelementptr i8, ptr %object, i64 16
  %data = load i64, ptr %data.at
  %mask.at = getelementptr i64, ptr %record, i64 2
  %mask = load i64, ptr %mask.at
  %low = and i64 %data, %mask
  %aligned = icmp eq i64 %low, 0
  br i1 %aligned, label %shape, label %no
shape:
  %dims.at = getelementptr i8, ptr %object, i64 32
  %dims = load ptr, ptr %dims.at
  %strides.at = getelementptr i8, ptr %object, i64 40
  %strides = load ptr, ptr %strides.at
  %axes = getelementptr i64, ptr %record, i64 3
  br label %axis
axis:
  %i = phi i64 [ 0, %shape ], [ %i.next, %axis.ok ]
  %at = phi ptr [ %axes, %shape ], [ %at.next, %axis.ok ]
  %done = icmp eq i64 %i, %nd
  br i1 %done, label %yes, label %axis.check
axis.check:
  %dim.at = getelementptr i64, ptr %dims, i64 %i
  %dim = load i64, ptr %dim.at
  %dim.wanted = load i64, ptr %at
  %dim.differs = xor i64 %dim, %dim.wanted
  %stride.at = getelementptr i64, ptr %strides, i64 %i
  %stride = load i64, ptr %stride.at
  %at1 = getelementptr i64, ptr %at, i64 1
  %stride.wanted = load i64, ptr %at1
  %stride.xor = xor i64 %stride, %stride.wanted
  %at2 = getelementptr i64, ptr %at, i64 2
  %stride.mask = load i64, ptr %at2
  %stride.differs = and i64 %stride.xor, %stride.mask
  %differs = or i64 %dim.differs, %stride.differs
  %same = icmp eq i64 %differs, 0
  br i1 %same, label %axis.ok, label %no
axis.ok:
  %i.next = add i64 %i, 1
  %at.next = getelementptr i64, ptr %at, i64 3
  br label %axis
yes:
  ret i1 true
no:
  ret i1 false
}
"""

# Whether the first `few` of `all` pieces of memory overlap with none of the others.  The words are
# few, all, then for each piece the place of its pointer and its bytes.
DISJOINT = """
define internal i1 @adjit_disjoint(ptr %pointers, ptr %words) {
start:
  %few = load i64, ptr %words
  %all.at = getelementptr i64, ptr %words, i64 1
  %all = load i64, ptr %all.at
  %first = getelementptr i64, ptr %words, i64 2
  %begins = alloca i64, i64 %all
  %ends = alloca i64, i64 %all
  br label %piece
piece:
  %k = phi i64 [ 0, %start ], [ %k.next, %piece ]
  %k2 = shl i64 %k, 1
  %which.at = getelementptr i64, ptr %first, i64 %k2
  %which = load i64, ptr %which.at
  %bytes.at = getelementptr i64, ptr %which.at, i64 1
  %bytes = load i64, ptr %bytes.at
  %pointer.at = getelementptr i64, ptr %pointers, i64 %which
  %begin = load i64, ptr %pointer.at
  %end = add i64 %begin, %bytes
  %begin.at = getelementptr i64, ptr %begins, i64 %k
  store i64 %begin, ptr %begin.at
  %end.at = getelementptr i64, ptr %ends, i64 %k
  store i64 %end, ptr %end.at
  %k.next = add i64 %k, 1
  %k.more = icmp ult i64 %k.next, %all
  br i1 %k.more, label %piece, label %each
each:
  %i = phi i64 [ 0, %piece ], [ %i.next, %each.done ]
  %i.next = add i64 %i, 1
  %low.at = getelementptr i64, ptr %begins, i64 %i
  %low = load i64, ptr %low.at
  %high.at = getelementptr i64, ptr %ends, i64 %i
  %high = load i64, ptr %high.at
  br label %others
others:
  %j = phi i64 [ %i.next, %each ], [ %j.next, %other ]
  %bad = phi i1 [ false, %each ], [ %bad.next, %other ]
  %j.more = icmp ult i64 %j, %all
  br i1 %j.more, label %other, label %each.done
other:
  %its.low.at = getelementptr i64, ptr %begins, i64 %j
  %its.low = load i64, ptr %its.low.at
  %its.high.at = getelementptr i64, ptr %ends, i64 %j
  %its.high = load i64, ptr %its.high.at
  %below = icmp ult i64 %low, %its.high
  %above = icmp ult i64 %its.low, %high
  %overlap = and i1 %below, %above
  %bad.next = or i1 %bad, %overlap
  %j.next = add i64 %j, 1
  br label %others
each.done:
  %more = icmp ult i64 %i.next, %few
  %fine = xor i1 %bad, true
  %on = and i1 %more, %fine
  br i1 %on, label %each, label %end.all
end.all:
  ret i1 %fine
}
"""
