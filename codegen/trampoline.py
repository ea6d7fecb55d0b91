"""The function behind every callable of entry.py, in LLVM's language: METH_FASTCALL of CPython.

`self` is an array of words: the kernel, the number of arguments, whether to release the lock, the
addresses of sizes and constants, the numbers of pointers and of records; then the records.  A
record begins with its kind (entry.py) and what the argument must be identical to; that of an array
goes on as front_array.py says.
"""

from .front_array import CHECK

HEAD = 7  # words: kernel, arguments, nogil, sizes, consts, pointers, records

# self+16 and array+16 are `data` of PyArrayObject_fields; object+8 is the type, object+16 the value
# of a scalar object.
CODE = (
    """
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
@_Py_NoneStruct = external global i8
@_Py_TrueStruct = external global i8
@PyArray_Type = external global i8
"""
    + CHECK
    + """
define ptr @adjit_call(ptr %self, ptr %args, i64 %nargs) {
entry:
  %data = getelementptr i8, ptr %self, i64 16
  %spec = load ptr, ptr %data
  %p.nargs = getelementptr i64, ptr %spec, i64 1
  %wanted = load i64, ptr %p.nargs
  %enough = icmp eq i64 %nargs, %wanted
  br i1 %enough, label %begin, label %miss

begin:
  %p.pointers = getelementptr i64, ptr %spec, i64 5
  %pointers = load i64, ptr %p.pointers
  %table = alloca ptr, i64 %pointers
  %values = alloca i64, i64 %pointers
  %overflow = alloca i32
  %p.records = getelementptr i64, ptr %spec, i64 6
  %records = load i64, ptr %p.records
  %first = getelementptr i64, ptr %spec, i64 7
  br label %next

next:
  %record = phi ptr [ %first, %begin ], [ %record.new, %stored ]
  %arg = phi ptr [ %args, %begin ], [ %arg.new, %stored ]
  %slot = phi ptr [ %table, %begin ], [ %slot.new, %stored ]
  %value = phi ptr [ %values, %begin ], [ %value.new, %stored ]
  %left = phi i64 [ %records, %begin ], [ %left.new, %stored ]
  %done = icmp eq i64 %left, 0
  br i1 %done, label %ready, label %dispatch

dispatch:
  %kind = load i64, ptr %record
  %word1 = getelementptr i64, ptr %record, i64 1
  %about = load ptr, ptr %word1
  %fixed = icmp eq i64 %kind, 4
  br i1 %fixed, label %constant, label %argument

constant:
  %record.fixed = getelementptr i64, ptr %record, i64 2
  br label %store

argument:
  %object = load ptr, ptr %arg
  %arg.next = getelementptr ptr, ptr %arg, i64 1
  %p.type = getelementptr i8, ptr %object, i64 8
  %p.data = getelementptr i8, ptr %object, i64 16
  switch i64 %kind, label %miss [
    i64 0, label %array
    i64 1, label %scalar
    i64 2, label %unchecked
    i64 3, label %same
    i64 5, label %integer
  ]

scalar:
  %scalar.type = load ptr, ptr %p.type
  %scalar.ok = icmp eq ptr %scalar.type, %about
  %record.scalar = getelementptr i64, ptr %record, i64 2
  br i1 %scalar.ok, label %store, label %miss

integer:
  %integer.type = load ptr, ptr %p.type
  %integer.ok = icmp eq ptr %integer.type, %about
  br i1 %integer.ok, label %convert, label %miss

convert:
  %converted = call i64 @PyLong_AsLongLongAndOverflow(ptr %object, ptr %overflow)
  %too.big = load i32, ptr %overflow
  %fits = icmp eq i32 %too.big, 0
  store i64 %converted, ptr %value
  %record.integer = getelementptr i64, ptr %record, i64 2
  br i1 %fits, label %store, label %miss

same:
  %same.ok = icmp eq ptr %object, %about
  %record.same = getelementptr i64, ptr %record, i64 2
  br i1 %same.ok, label %stored, label %miss

unchecked:
  %unchecked.data = load ptr, ptr %p.data
  %record.unchecked = getelementptr i64, ptr %record, i64 2
  br label %store

array:
  %array.record = getelementptr i64, ptr %record, i64 1
  %array.ok = call i1 @adjit_array(ptr %object, ptr %array.record)
  br i1 %array.ok, label %placed, label %miss

placed:
  %array.data = load ptr, ptr %p.data
  %word2 = getelementptr i64, ptr %record, i64 2
  %nd = load i64, ptr %word2
  %axes.words = mul i64 %nd, 3
  %axes = getelementptr i64, ptr %record, i64 4
  %record.array = getelementptr i64, ptr %axes, i64 %axes.words
  br label %store

store:
  %pointer = phi ptr [ %about, %constant ], [ %p.data, %scalar ], [ %value, %convert ],
                     [ %unchecked.data, %unchecked ], [ %array.data, %placed ]
  %record.after = phi ptr [ %record.fixed, %constant ], [ %record.scalar, %scalar ],
                     [ %record.integer, %convert ], [ %record.unchecked, %unchecked ],
                     [ %record.array, %placed ]
  %arg.after = phi ptr [ %arg, %constant ], [ %arg.next, %scalar ], [ %arg.next, %convert ],
                     [ %arg.next, %unchecked ], [ %arg.next, %placed ]
  store ptr %pointer, ptr %slot
  %slot.next = getelementptr ptr, ptr %slot, i64 1
  %value.next = getelementptr i64, ptr %value, i64 1
  br label %stored

stored:
  %record.new = phi ptr [ %record.after, %store ], [ %record.same, %same ]
  %arg.new = phi ptr [ %arg.after, %store ], [ %arg.next, %same ]
  %slot.new = phi ptr [ %slot.next, %store ], [ %slot, %same ]
  %value.new = phi ptr [ %value.next, %store ], [ %value, %same ]
  %left.new = sub i64 %left, 1
  br label %next

ready:
  %kernel = load ptr, ptr %spec
  %p.nogil = getelementptr i64, ptr %spec, i64 2
  %nogil = load i64, ptr %p.nogil
  %p.sizes = getelementptr i64, ptr %spec, i64 3
  %sizes = load ptr, ptr %p.sizes
  %p.consts = getelementptr i64, ptr %spec, i64 4
  %consts = load ptr, ptr %p.consts
  %keep.gil = icmp eq i64 %nogil, 0
  br i1 %keep.gil, label %held, label %released

held:
  %status.held = call i64 %kernel(ptr %table, ptr %sizes, ptr %consts)
  br label %returned

released:
  %thread = call ptr @PyEval_SaveThread()
  %status.released = call i64 %kernel(ptr %table, ptr %sizes, ptr %consts)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %returned

returned:
  %status = phi i64 [ %status.held, %held ], [ %status.released, %released ]
  %fine = icmp eq i64 %status, 0
  br i1 %fine, label %finish, label %failed

failed:
  %stopped = icmp eq i64 %status, 3
  br i1 %stopped, label %raised, label %told

raised:
  ret ptr null

told:
  %number = call ptr @PyLong_FromLongLong(i64 %status)
  ret ptr %number

finish:
  call void @Py_IncRef(ptr @_Py_TrueStruct)
  ret ptr @_Py_TrueStruct

miss:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}
"""
)

C_FUNCTIONS = (
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "Py_IncRef",
    "PyLong_FromLongLong",
    "PyLong_AsLongLongAndOverflow",
)
