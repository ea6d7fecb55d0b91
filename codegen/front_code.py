"""The function behind every compiled front (front.py), in LLVM's language.

`adjit_front` is a METH_FASTCALL | METH_KEYWORDS function of CPython.  Its `self` is an array of
words: the addresses of two lists that must be empty, the object that answers what no table does,
and the first table.  `adjit_try` carries out one table, an instruction of four words after the
other, and answers NULL where the call is not that table's; an error of Python's is then set only
if memory ran out.  A call that left tables at their guards before another took it is counted
there, so that reports know of it.

Offsets: object+8 type; tuple+16, list+16 size; tuple+24 items; list+24 address of items; scalar
objects +16 value; array+16 data, 24 nd, 32 dimensions, 40 strides, 56 descr.
"""

HEAD = 4  # words of a front: two lists, fallback, first table
# Words of a table.
(
    NEXT,
    PROGRAM,
    KERNEL,
    SIZES,
    CONSTS,
    CALLS,
    POINTERS,
    REGISTERS,
    NOGIL,
    BUSY,
    SHARED,
    USERS,
    LAST,
    LEFT,
    TABLE,
) = range(15)
(
    NARGS, ARG, KEYWORD, TYPE, SIZE, TUPLE_ITEM, LIST_ITEM, DICT_SIZE, DICT_ITEM, ATTRIBUTE,
    SAME, INT, HOLDS, READ, ARRAY, VALUE, INTEGER, FIXED, EMPTY, SCALAR, BORROW, LOCAL, RUN,
    FLOAT, OBJECT, MAKE_TUPLE, MAKE_LIST, MAKE_DICT, RETURN,
) = range(29)  # fmt: skip

_OPERATIONS = (
    "nargs", "arg", "keyword", "type", "size", "tuple_item", "list_item", "dict_size", "dict_item",
    "attribute", "same", "int", "holds", "read", "array", "value", "integer", "fixed", "empty",
    "scalar", "borrow", "local", "run", "float", "object", "make_tuple", "make_list", "make_dict",
    "return",
)  # fmt: skip

_SWITCH = "\n".join(f"    i64 {k}, label %op.{name}" for k, name in enumerate(_OPERATIONS))

CODE = (
    """
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyErr_Occurred()
declare void @PyErr_Clear()
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare i64 @PyDict_Size(ptr)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare ptr @PyObject_CallNoArgs(ptr)
declare ptr @PyObject_CallObject(ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyTuple_New(i64)
declare ptr @PyList_New(i64)
declare ptr @PyDict_New()
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare ptr @PyArray_New(ptr, i32, ptr, i32, ptr, ptr, i32, i32, ptr)
@_Py_TrueStruct = external global i8
@PyArray_Type = external global i8

define ptr @adjit_front(ptr %self, ptr %args, i64 %nargs, ptr %names) {
  %data.at = getelementptr i8, ptr %self, i64 16
  %head = load ptr, ptr %data.at
  %list1 = load ptr, ptr %head
  %size1.at = getelementptr i8, ptr %list1, i64 16
  %size1 = load i64, ptr %size1.at
  %list2.at = getelementptr i64, ptr %head, i64 1
  %list2 = load ptr, ptr %list2.at
  %size2.at = getelementptr i8, ptr %list2, i64 16
  %size2 = load i64, ptr %size2.at
  %both = or i64 %size1, %size2
  %quiet = icmp eq i64 %both, 0
  br i1 %quiet, label %begin, label %fallback
begin:
  %first.at = getelementptr i64, ptr %head, i64 3
  %first = load ptr, ptr %first.at
  br label %each
each:
  %table = phi ptr [ %first, %begin ], [ %next, %missed ]
  %none = icmp eq ptr %table, null
  br i1 %none, label %fallback, label %attempt
attempt:
  %users.at = getelementptr i64, ptr %table, i64 11
  %users = load i64, ptr %users.at
  %users.more = add i64 %users, 1
  store i64 %users.more, ptr %users.at
  %result = call ptr @adjit_try(ptr %table, ptr %args, i64 %nargs, ptr %names)
  %users.now = load i64, ptr %users.at
  %users.less = sub i64 %users.now, 1
  store i64 %users.less, ptr %users.at
  %missing = icmp eq ptr %result, null
  br i1 %missing, label %missed, label %answer
answer:
  %straight = icmp eq ptr %table, %first
  br i1 %straight, label %return, label %past
past:
  %miss = phi ptr [ %first, %answer ], [ %miss.next, %past.done ]
  %past.all = icmp eq ptr %miss, %table
  br i1 %past.all, label %return, label %past.one
past.one:
  %last.at = getelementptr i64, ptr %miss, i64 12
  %last = load i64, ptr %last.at
  %miss.next = load ptr, ptr %miss
  %guarded = icmp sle i64 %last, -2
  br i1 %guarded, label %past.count, label %past.done
past.count:
  %guard = sub i64 -2, %last
  %left.at = getelementptr i64, ptr %miss, i64 13
  %left = load ptr, ptr %left.at
  %count.at = getelementptr i64, ptr %left, i64 %guard
  %count = load i64, ptr %count.at
  %count.new = add i64 %count, 1
  store i64 %count.new, ptr %count.at
  br label %past.done
past.done:
  br label %past
return:
  ret ptr %result
missed:
  %error = call ptr @PyErr_Occurred()
  %clean = icmp eq ptr %error, null
  %next = load ptr, ptr %table
  br i1 %clean, label %each, label %failed
failed:
  ret ptr null
fallback:
  %slow.at = getelementptr i64, ptr %head, i64 2
  %slow = load ptr, ptr %slow.at
  %answered = call ptr @PyObject_Vectorcall(ptr %slow, ptr %args, i64 %nargs, ptr %names)
  ret ptr %answered
}

define internal ptr @adjit_try(ptr %t, ptr %args, i64 %nargs, ptr %names) {
start:
  %pointers.at = getelementptr i64, ptr %t, i64 6
  %pointers.n = load i64, ptr %pointers.at
  %registers.at = getelementptr i64, ptr %t, i64 7
  %registers.n = load i64, ptr %registers.at
  %registers = alloca ptr, i64 %registers.n
  %owned = alloca ptr, i64 %registers.n
  %pointers = alloca ptr, i64 %pointers.n
  %values = alloca i64, i64 %pointers.n
  %owned.n = alloca i64
  %overflow = alloca i32
  %last.at = getelementptr i64, ptr %t, i64 12
  store i64 0, ptr %last.at
  %pc.at = alloca ptr
  %result = alloca ptr
  %counter = alloca i64
  %held = alloca i64
  store i64 0, ptr %owned.n
  store i64 0, ptr %held
  store ptr null, ptr %result
  %program.at = getelementptr i64, ptr %t, i64 1
  %program = load ptr, ptr %program.at
  store ptr %program, ptr %pc.at
  br label %step

step:
  %pc = load ptr, ptr %pc.at
  %code = load i64, ptr %pc
  %a.at = getelementptr i64, ptr %pc, i64 1
  %a = load i64, ptr %a.at
  %b.at = getelementptr i64, ptr %pc, i64 2
  %b = load i64, ptr %b.at
  %c.at = getelementptr i64, ptr %pc, i64 3
  %c = load i64, ptr %c.at
  %bp = inttoptr i64 %b to ptr
  %cp = inttoptr i64 %c to ptr
  %pc.new = getelementptr i64, ptr %pc, i64 4
  store ptr %pc.new, ptr %pc.at
  %ra = getelementptr ptr, ptr %registers, i64 %a
  %rb = getelementptr ptr, ptr %registers, i64 %b
  %pb = getelementptr ptr, ptr %pointers, i64 %b
  %vb = getelementptr i64, ptr %values, i64 %b
  switch i64 %code, label %release [
"""
    + _SWITCH
    + """
  ]

; ---- a: positional arguments, b: keywords
op.nargs:
  %nargs.ok = icmp eq i64 %nargs, %a
  br i1 %nargs.ok, label %nargs.names, label %release
nargs.names:
  %names.none = icmp eq ptr %names, null
  br i1 %names.none, label %nargs.plain, label %nargs.count
nargs.plain:
  %no.names = icmp eq i64 %b, 0
  br i1 %no.names, label %step, label %release
nargs.count:
  %names.n.at = getelementptr i8, ptr %names, i64 16
  %names.n = load i64, ptr %names.n.at
  %names.ok = icmp eq i64 %names.n, %b
  br i1 %names.ok, label %step, label %release

; ---- ra = args[b]
op.arg:
  %arg.at = getelementptr ptr, ptr %args, i64 %b
  %arg.value = load ptr, ptr %arg.at
  store ptr %arg.value, ptr %ra
  br label %step

; ---- ra = the keyword whose name is the object b
op.keyword:
  %keywords.at = getelementptr i8, ptr %names, i64 24
  %keywords.n.at = getelementptr i8, ptr %names, i64 16
  %keywords.n = load i64, ptr %keywords.n.at
  store i64 0, ptr %counter
  br label %keyword.next
keyword.next:
  %k = load i64, ptr %counter
  %keywords.done = icmp sge i64 %k, %keywords.n
  br i1 %keywords.done, label %release, label %keyword.look
keyword.look:
  %name.at = getelementptr ptr, ptr %keywords.at, i64 %k
  %name = load ptr, ptr %name.at
  %k.new = add i64 %k, 1
  store i64 %k.new, ptr %counter
  %name.ok = icmp eq ptr %name, %bp
  br i1 %name.ok, label %keyword.found, label %keyword.next
keyword.found:
  %keyword.place = add i64 %nargs, %k
  %keyword.at = getelementptr ptr, ptr %args, i64 %keyword.place
  %keyword.value = load ptr, ptr %keyword.at
  store ptr %keyword.value, ptr %ra
  br label %step

; ---- type(ra) is b
op.type:
  %type.object = load ptr, ptr %ra
  %type.at = getelementptr i8, ptr %type.object, i64 8
  %type.found = load ptr, ptr %type.at
  %type.ok = icmp eq ptr %type.found, %bp
  br i1 %type.ok, label %step, label %release

; ---- len(ra) == b, of a tuple or list
op.size:
  %size.object = load ptr, ptr %ra
  %size.at = getelementptr i8, ptr %size.object, i64 16
  %size.found = load i64, ptr %size.at
  %size.ok = icmp eq i64 %size.found, %b
  br i1 %size.ok, label %step, label %release

; ---- ra = rb[c]
op.tuple_item:
  %tuple.object = load ptr, ptr %rb
  %tuple.items = getelementptr i8, ptr %tuple.object, i64 24
  %tuple.at = getelementptr ptr, ptr %tuple.items, i64 %c
  %tuple.value = load ptr, ptr %tuple.at
  store ptr %tuple.value, ptr %ra
  br label %step
op.list_item:
  %list.object = load ptr, ptr %rb
  %list.items.at = getelementptr i8, ptr %list.object, i64 24
  %list.items = load ptr, ptr %list.items.at
  %list.at = getelementptr ptr, ptr %list.items, i64 %c
  %list.value = load ptr, ptr %list.at
  store ptr %list.value, ptr %ra
  br label %step
op.dict_size:
  %sized.object = load ptr, ptr %ra
  %dict.n = call i64 @PyDict_Size(ptr %sized.object)
  %dict.ok = icmp eq i64 %dict.n, %b
  br i1 %dict.ok, label %step, label %release
op.dict_item:
  %dict.object = load ptr, ptr %rb
  %dict.value = call ptr @PyDict_GetItemWithError(ptr %dict.object, ptr %cp)
  store ptr %dict.value, ptr %ra
  %dict.missing = icmp eq ptr %dict.value, null
  br i1 %dict.missing, label %clear, label %step
op.attribute:
  %attribute.object = load ptr, ptr %rb
  %attribute.value = call ptr @PyObject_GetAttr(ptr %attribute.object, ptr %cp)
  br label %own

; ---- ra is b; the int ra equals b
op.same:
  %same.object = load ptr, ptr %ra
  %same.ok = icmp eq ptr %same.object, %bp
  br i1 %same.ok, label %step, label %release
op.int:
  %int.object = load ptr, ptr %ra
  %int.value = call i64 @PyLong_AsLongLongAndOverflow(ptr %int.object, ptr %overflow)
  %int.over = load i32, ptr %overflow
  %int.fits = icmp eq i32 %int.over, 0
  %int.same = icmp eq i64 %int.value, %b
  %int.ok = and i1 %int.fits, %int.same
  br i1 %int.ok, label %step, label %release

; ---- b() is True; ra = b()
op.holds:
  %holds.value = call ptr @PyObject_CallNoArgs(ptr %bp)
  %holds.failed = icmp eq ptr %holds.value, null
  br i1 %holds.failed, label %clear, label %holds.known
holds.known:
  call void @Py_DecRef(ptr %holds.value)
  %holds.ok = icmp eq ptr %holds.value, @_Py_TrueStruct
  br i1 %holds.ok, label %step, label %release
op.read:
  %read.value = call ptr @PyObject_CallNoArgs(ptr %bp)
  br label %own

; ---- ra = a new object, NULL if the call that made it failed
own:
  %new = phi ptr [ %attribute.value, %op.attribute ], [ %read.value, %op.read ],
                 [ %borrow.value, %borrow.made ]
  store ptr %new, ptr %ra
  %new.failed = icmp eq ptr %new, null
  br i1 %new.failed, label %clear, label %own.keep
own.keep:
  %own.n = load i64, ptr %owned.n
  %own.at = getelementptr ptr, ptr %owned, i64 %own.n
  store ptr %new, ptr %own.at
  %own.more = add i64 %own.n, 1
  store i64 %own.more, ptr %owned.n
  br label %step

; ---- pointer b = data of the array ra, which is as c says: descr, nd, address bits, axes
op.array:
  %array.object = load ptr, ptr %ra
  %array.type.at = getelementptr i8, ptr %array.object, i64 8
  %array.type = load ptr, ptr %array.type.at
  %array.plain = icmp eq ptr %array.type, @PyArray_Type
  br i1 %array.plain, label %array.dtype, label %release
array.dtype:
  %descr.at = getelementptr i8, ptr %array.object, i64 56
  %descr = load ptr, ptr %descr.at
  %descr.wanted = load ptr, ptr %cp
  %descr.ok = icmp eq ptr %descr, %descr.wanted
  br i1 %descr.ok, label %array.rank, label %release
array.rank:
  %nd.at = getelementptr i8, ptr %array.object, i64 24
  %nd32 = load i32, ptr %nd.at
  %nd = sext i32 %nd32 to i64
  %nd.wanted.at = getelementptr i64, ptr %cp, i64 1
  %nd.wanted = load i64, ptr %nd.wanted.at
  %nd.ok = icmp eq i64 %nd, %nd.wanted
  br i1 %nd.ok, label %array.place, label %release
array.place:
  %array.data.at = getelementptr i8, ptr %array.object, i64 16
  %array.data = load ptr, ptr %array.data.at
  %array.address = ptrtoint ptr %array.data to i64
  %mask.at = getelementptr i64, ptr %cp, i64 2
  %mask = load i64, ptr %mask.at
  %low = and i64 %array.address, %mask
  %aligned = icmp eq i64 %low, 0
  br i1 %aligned, label %array.axes, label %release
array.axes:
  %dims.at = getelementptr i8, ptr %array.object, i64 32
  %dims = load ptr, ptr %dims.at
  %strides.at = getelementptr i8, ptr %array.object, i64 40
  %strides = load ptr, ptr %strides.at
  %axes = getelementptr i64, ptr %cp, i64 3
  store ptr %array.data, ptr %pb
  br label %axis
axis:
  %i = phi i64 [ 0, %array.axes ], [ %i.next, %axis.ok ]
  %at = phi ptr [ %axes, %array.axes ], [ %at.next, %axis.ok ]
  %axes.done = icmp eq i64 %i, %nd
  br i1 %axes.done, label %step, label %axis.check
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
  %axis.same = icmp eq i64 %differs, 0
  br i1 %axis.same, label %axis.ok, label %release
axis.ok:
  %i.next = add i64 %i, 1
  %at.next = getelementptr i64, ptr %at, i64 3
  br label %axis

; ---- pointer b = the value of the scalar object ra; of the int ra; the address c; a local value
op.value:
  %value.object = load ptr, ptr %ra
  %value.at = getelementptr i8, ptr %value.object, i64 16
  store ptr %value.at, ptr %pb
  br label %step
op.integer:
  %integer.object = load ptr, ptr %ra
  %integer.value = call i64 @PyLong_AsLongLongAndOverflow(ptr %integer.object, ptr %overflow)
  store i64 %integer.value, ptr %vb
  store ptr %vb, ptr %pb
  %integer.over = load i32, ptr %overflow
  %integer.ok = icmp eq i32 %integer.over, 0
  br i1 %integer.ok, label %step, label %release
op.fixed:
  store ptr %cp, ptr %pb
  br label %step
op.local:
  store ptr %vb, ptr %pb
  br label %step

; ---- ra, with pointer b to its data: an array (c: nd, typenum, dims), a scalar object of type c,
; ---- an array from a callable (c: callable, tuple of arguments)
op.empty:
  %empty.nd64 = load i64, ptr %cp
  %empty.nd = trunc i64 %empty.nd64 to i32
  %empty.num.at = getelementptr i64, ptr %cp, i64 1
  %empty.num64 = load i64, ptr %empty.num.at
  %empty.num = trunc i64 %empty.num64 to i32
  %empty.dims = getelementptr i64, ptr %cp, i64 2
  %empty.value = call ptr @PyArray_New(ptr @PyArray_Type, i32 %empty.nd, ptr %empty.dims,
                           i32 %empty.num, ptr null, ptr null, i32 0, i32 0, ptr null)
  br label %made
op.scalar:
  %scalar.value = call ptr @PyType_GenericAlloc(ptr %cp, i64 0)
  br label %made
made:
  %thing = phi ptr [ %empty.value, %op.empty ], [ %scalar.value, %op.scalar ]
  %is.array = phi i1 [ true, %op.empty ], [ false, %op.scalar ]
  store ptr %thing, ptr %ra
  %thing.failed = icmp eq ptr %thing, null
  br i1 %thing.failed, label %release, label %made.keep
made.keep:
  %made.n = load i64, ptr %owned.n
  %made.at = getelementptr ptr, ptr %owned, i64 %made.n
  store ptr %thing, ptr %made.at
  %made.more = add i64 %made.n, 1
  store i64 %made.more, ptr %owned.n
  %thing.at = getelementptr i8, ptr %thing, i64 16
  br i1 %is.array, label %made.array, label %made.scalar
made.array:
  %thing.data = load ptr, ptr %thing.at
  store ptr %thing.data, ptr %pb
  br label %step
made.scalar:
  store ptr %thing.at, ptr %pb
  br label %step
op.borrow:
  %borrow.callable = load ptr, ptr %cp
  %borrow.args.at = getelementptr ptr, ptr %cp, i64 1
  %borrow.args = load ptr, ptr %borrow.args.at
  %borrow.value = call ptr @PyObject_CallObject(ptr %borrow.callable, ptr %borrow.args)
  %borrow.failed = icmp eq ptr %borrow.value, null
  br i1 %borrow.failed, label %release, label %borrow.made
borrow.made:
  %borrow.data.at = getelementptr i8, ptr %borrow.value, i64 16
  %borrow.data = load ptr, ptr %borrow.data.at
  store ptr %borrow.data, ptr %pb
  br label %own

; ---- the kernel, alone with the workspaces of this table
op.run:
  %busy.at = getelementptr i64, ptr %t, i64 9
  %busy = load i64, ptr %busy.at
  %free = icmp eq i64 %busy, 0
  br i1 %free, label %run.begin, label %release
run.begin:
  %kernel.at = getelementptr i64, ptr %t, i64 2
  %kernel = load ptr, ptr %kernel.at
  %sizes.at = getelementptr i64, ptr %t, i64 3
  %sizes = load ptr, ptr %sizes.at
  %consts.at = getelementptr i64, ptr %t, i64 4
  %consts = load ptr, ptr %consts.at
  %nogil.at = getelementptr i64, ptr %t, i64 8
  %nogil = load i64, ptr %nogil.at
  %shared.at = getelementptr i64, ptr %t, i64 10
  %shared = load i64, ptr %shared.at
  store i64 %shared, ptr %busy.at
  %keep.gil = icmp eq i64 %nogil, 0
  br i1 %keep.gil, label %run.held, label %run.released
run.held:
  %status.held = call i64 %kernel(ptr %pointers, ptr %sizes, ptr %consts)
  br label %run.done
run.released:
  %thread = call ptr @PyEval_SaveThread()
  %status.released = call i64 %kernel(ptr %pointers, ptr %sizes, ptr %consts)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %run.done
run.done:
  %status = phi i64 [ %status.held, %run.held ], [ %status.released, %run.released ]
  store i64 0, ptr %busy.at
  store i64 %status, ptr %last.at
  %fine = icmp eq i64 %status, 0
  br i1 %fine, label %run.count, label %release
run.count:
  %calls.at = getelementptr i64, ptr %t, i64 5
  %calls = load i64, ptr %calls.at
  %calls.new = add i64 %calls, 1
  store i64 %calls.new, ptr %calls.at
  br label %step

; ---- ra = float(local value b); ra = the object b
op.float:
  %float.bits = load double, ptr %vb
  %float.value = call ptr @PyFloat_FromDouble(double %float.bits)
  store ptr %float.value, ptr %ra
  %float.failed = icmp eq ptr %float.value, null
  br i1 %float.failed, label %release, label %float.keep
float.keep:
  %float.n = load i64, ptr %owned.n
  %float.at = getelementptr ptr, ptr %owned, i64 %float.n
  store ptr %float.value, ptr %float.at
  %float.more = add i64 %float.n, 1
  store i64 %float.more, ptr %owned.n
  br label %step
op.object:
  store ptr %bp, ptr %ra
  br label %step

; ---- ra = a container of b things: the registers that c lists; of a dict, pairs (key, register)
op.make_tuple:
  %tuple.new = call ptr @PyTuple_New(i64 %b)
  %tuple.failed = icmp eq ptr %tuple.new, null
  br i1 %tuple.failed, label %release, label %tuple.filled
tuple.filled:
  %tuple.first = getelementptr i8, ptr %tuple.new, i64 24
  br label %fill
op.make_list:
  %list.new = call ptr @PyList_New(i64 %b)
  %list.failed = icmp eq ptr %list.new, null
  br i1 %list.failed, label %release, label %list.filled
list.filled:
  %list.first.at = getelementptr i8, ptr %list.new, i64 24
  %list.first = load ptr, ptr %list.first.at
  br label %fill
fill:
  %box = phi ptr [ %tuple.new, %tuple.filled ], [ %list.new, %list.filled ]
  %items = phi ptr [ %tuple.first, %tuple.filled ], [ %list.first, %list.filled ]
  br label %fill.next
fill.next:
  %j = phi i64 [ 0, %fill ], [ %j.new, %fill.one ]
  %fill.done = icmp sge i64 %j, %b
  br i1 %fill.done, label %boxed, label %fill.one
fill.one:
  %which.at = getelementptr i64, ptr %cp, i64 %j
  %which = load i64, ptr %which.at
  %item.at = getelementptr ptr, ptr %registers, i64 %which
  %item = load ptr, ptr %item.at
  call void @Py_IncRef(ptr %item)
  %target = getelementptr ptr, ptr %items, i64 %j
  store ptr %item, ptr %target
  %j.new = add i64 %j, 1
  br label %fill.next
op.make_dict:
  %dict.new = call ptr @PyDict_New()
  %dict.failed = icmp eq ptr %dict.new, null
  br i1 %dict.failed, label %release, label %pair.next
pair.next:
  %m = phi i64 [ 0, %op.make_dict ], [ %m.new, %pair.one ]
  %pairs.done = icmp sge i64 %m, %b
  br i1 %pairs.done, label %boxed, label %pair.one
pair.one:
  %m2 = shl i64 %m, 1
  %key.at = getelementptr i64, ptr %cp, i64 %m2
  %key = load ptr, ptr %key.at
  %m21 = add i64 %m2, 1
  %whose.at = getelementptr i64, ptr %cp, i64 %m21
  %whose = load i64, ptr %whose.at
  %pair.at = getelementptr ptr, ptr %registers, i64 %whose
  %pair = load ptr, ptr %pair.at
  %set = call i32 @PyDict_SetItem(ptr %dict.new, ptr %key, ptr %pair)
  %m.new = add i64 %m, 1
  br label %pair.next
boxed:
  %boxed.new = phi ptr [ %box, %fill.next ], [ %dict.new, %pair.next ]
  store ptr %boxed.new, ptr %ra
  %boxed.n = load i64, ptr %owned.n
  %boxed.at = getelementptr ptr, ptr %owned, i64 %boxed.n
  store ptr %boxed.new, ptr %boxed.at
  %boxed.more = add i64 %boxed.n, 1
  store i64 %boxed.more, ptr %owned.n
  br label %step

; ---- the answer is ra
op.return:
  %answer = load ptr, ptr %ra
  call void @Py_IncRef(ptr %answer)
  store ptr %answer, ptr %result
  br label %release

clear:
  call void @PyErr_Clear()
  br label %release
release:
  %rest = load i64, ptr %owned.n
  br label %drop
drop:
  %d = phi i64 [ %rest, %release ], [ %d.new, %drop.one ]
  %empty.now = icmp eq i64 %d, 0
  br i1 %empty.now, label %done, label %drop.one
drop.one:
  %d.new = sub i64 %d, 1
  %drop.at = getelementptr ptr, ptr %owned, i64 %d.new
  %dropped = load ptr, ptr %drop.at
  call void @Py_DecRef(ptr %dropped)
  br label %drop
done:
  %final = load ptr, ptr %result
  ret ptr %final
}
"""
)

C_FUNCTIONS = (
    "PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef", "Py_DecRef", "PyErr_Occurred",
    "PyErr_Clear", "PyLong_AsLongLongAndOverflow", "PyDict_Size", "PyDict_GetItemWithError",
    "PyObject_GetAttr", "PyObject_CallNoArgs", "PyObject_CallObject", "PyObject_Vectorcall",
    "PyType_GenericAlloc", "PyFloat_FromDouble", "PyTuple_New", "PyList_New", "PyDict_New",
    "PyDict_SetItem",
)  # fmt: skip
