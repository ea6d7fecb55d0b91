"""The function behind every compiled front (front.py), in LLVM's language.

`adjit_front` is what CPython calls (PEP 590).  Its object has room for a head, an array of words
(front_words.py), which names the tables to try; `adjit_slow` answers what none of them does.
`adjit_try` carries out one table, an instruction of four words after the other, and answers NULL
where the call is not that table's; an error of Python's is then set only if memory ran out, or the
user stopped the kernel.  A call that left tables at their guards before another took it is counted
there, so that reports know of it.  A table that answers twice in succession is the first one then.
"""

import re

from . import front_arguments, front_array, front_results
from . import front_words as words

_DECLARATIONS = """
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyErr_Occurred()
declare i32 @PyContextVar_Get(ptr, ptr, ptr)
declare void @PyErr_Clear()
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyLong_FromLongLong(i64)
declare i32 @PyDict_Next(ptr, ptr, ptr, ptr)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare ptr @PyObject_GetItem(ptr, ptr)
declare i32 @PyObject_RichCompareBool(ptr, ptr, i32)
declare ptr @PyObject_CallNoArgs(ptr)
declare ptr @PyObject_CallObject(ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare i32 @PyObject_GenericSetAttr(ptr, ptr, ptr)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyTuple_New(i64)
declare ptr @PyList_New(i64)
declare ptr @PyDict_Copy(ptr)
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare ptr @PyArray_NewCopy(ptr, i32)
declare i32 @PyArray_CopyInto(ptr, ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
@_Py_TrueStruct = external global i8
@PyArray_Type = external global i8
@adjit_slow = external global i8
@adjit_room = external global i8
"""

_CHAIN = f"""
define ptr @adjit_front(ptr %self, ptr %args, i64 %nargs.flagged, ptr %names) {{
  %nargs = and i64 %nargs.flagged, {2**63 - 1}
  %value.at = alloca ptr
  %room = getelementptr i8, ptr %self, i64 ptrtoint (ptr @adjit_room to i64)
  %array = load ptr, ptr %room
  %bare = icmp eq ptr %array, null
  br i1 %bare, label %fallback, label %look
look:
  %head.at = getelementptr i8, ptr %array, i64 16
  %head = load ptr, ptr %head.at
  %busy.list = load ptr, ptr %head
  %busy.at = getelementptr i8, ptr %busy.list, i64 16
  %busy = load i64, ptr %busy.at
  %quiet = icmp eq i64 %busy, 0
  br i1 %quiet, label %settings, label %fallback
settings:
  %main.at = getelementptr i64, ptr %head, i64 {words.FIRST}
  %aside.at = getelementptr i64, ptr %head, i64 {words.ASIDE}
  %aside = load ptr, ptr %aside.at
  %blocks.at = getelementptr i8, ptr %aside, i64 16
  %blocks = load i64, ptr %blocks.at
  %plain = icmp eq i64 %blocks, 0
  br i1 %plain, label %begin, label %ask
ask:
  %variable.at = getelementptr i64, ptr %head, i64 {words.VARIABLE}
  %variable = load ptr, ptr %variable.at
  %asked = call i32 @PyContextVar_Get(ptr %variable, ptr null, ptr %value.at)
  %unasked = icmp ne i32 %asked, 0
  br i1 %unasked, label %failed, label %asked.right
asked.right:
  %value = load ptr, ptr %value.at
  call void @Py_DecRef(ptr %value)
  %none.at = getelementptr i64, ptr %head, i64 {words.NONE}
  %none.value = load ptr, ptr %none.at
  %outside = icmp eq ptr %value, %none.value
  br i1 %outside, label %begin, label %scopes
scopes:
  %scopes.at = getelementptr i64, ptr %head, i64 {words.SCOPES}
  br label %scope
scope:
  %pair.at = phi ptr [ %scopes.at, %scopes ], [ %pair.next, %scope.other ]
  %key = load ptr, ptr %pair.at
  %scope.at = getelementptr i64, ptr %pair.at, i64 1
  %here = icmp eq ptr %key, %value
  br i1 %here, label %begin, label %scope.other
scope.other:
  %pair.next = getelementptr i64, ptr %pair.at, i64 2
  %unknown = icmp eq ptr %key, null
  br i1 %unknown, label %fallback, label %scope
begin:
  %first.at = phi ptr [ %main.at, %settings ], [ %main.at, %asked.right ], [ %scope.at, %scope ]
  %first = load ptr, ptr %first.at
  br label %each
each:
  %table = phi ptr [ %first, %begin ], [ %next, %missed ]
  %none = icmp eq ptr %table, null
  br i1 %none, label %fallback, label %attempt
attempt:
  %users.at = getelementptr i64, ptr %table, i64 {words.USERS}
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
  %again.at = getelementptr i64, ptr %head, i64 {words.AGAIN}
  %again = load ptr, ptr %again.at
  store ptr %table, ptr %again.at
  %first.now = load ptr, ptr %first.at
  %straight = icmp eq ptr %table, %first.now
  br i1 %straight, label %return, label %past
past:
  %miss = phi ptr [ %first.now, %answer ], [ %miss.next, %past.done ]
  %lost = icmp eq ptr %miss, null
  br i1 %lost, label %return, label %past.one
past.one:
  %last.at = getelementptr i64, ptr %miss, i64 {words.LAST}
  %last = load i64, ptr %last.at
  %miss.next = load ptr, ptr %miss
  %guarded = icmp sle i64 %last, -2
  br i1 %guarded, label %past.count, label %past.done
past.count:
  %guard = sub i64 -2, %last
  %left.at = getelementptr i64, ptr %miss, i64 {words.LEFT}
  %left = load ptr, ptr %left.at
  %count.at = getelementptr i64, ptr %left, i64 %guard
  %count = load i64, ptr %count.at
  %count.new = add i64 %count, 1
  store i64 %count.new, ptr %count.at
  br label %past.done
past.done:
  %past.all = icmp eq ptr %miss.next, %table
  br i1 %past.all, label %favour, label %past
favour:
  %twice = icmp eq ptr %again, %table
  br i1 %twice, label %promote, label %return
promote:
  %after = load ptr, ptr %table
  store ptr %after, ptr %miss
  store ptr %first.now, ptr %table
  store ptr %table, ptr %first.at
  br label %return
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
  %keywords = call i64 @adjit_names(ptr %names)
  %given = add i64 %nargs, %keywords
  %given.self = add i64 %given, 1
  %copies = alloca ptr, i64 %given.self
  store ptr %self, ptr %copies
  br label %copy
copy:
  %k = phi i64 [ 0, %fallback ], [ %k.new, %copy.one ]
  %copied = icmp eq i64 %k, %given
  br i1 %copied, label %slow, label %copy.one
copy.one:
  %from = getelementptr ptr, ptr %args, i64 %k
  %one = load ptr, ptr %from
  %k.new = add i64 %k, 1
  %to = getelementptr ptr, ptr %copies, i64 %k.new
  store ptr %one, ptr %to
  br label %copy
slow:
  %nargs.self = add i64 %nargs, 1
  %answered = call ptr @PyObject_Vectorcall(ptr @adjit_slow, ptr %copies, i64 %nargs.self,
                                            ptr %names)
  ret ptr %answered
}}

define internal i64 @adjit_names(ptr %names) alwaysinline {{
start:
  %none = icmp eq ptr %names, null
  br i1 %none, label %end, label %some
some:
  %count.at = getelementptr i8, ptr %names, i64 16
  %some.count = load i64, ptr %count.at
  br label %end
end:
  %count = phi i64 [ 0, %start ], [ %some.count, %some ]
  ret i64 %count
}}
"""

_HOLD = """
define internal void @adjit_hold(ptr %object, ptr %owned, ptr %owned.n) alwaysinline {
  call void @Py_IncRef(ptr %object)
  %n = load i64, ptr %owned.n
  %at = getelementptr ptr, ptr %owned, i64 %n
  store ptr %object, ptr %at
  %more = add i64 %n, 1
  store i64 %more, ptr %owned.n
  ret void
}
"""

_SWITCH = "\n".join(f"    i64 {k}, label %op.{name}" for k, name in enumerate(words.OPERATIONS))

_TRY = f"""
define internal ptr @adjit_try(ptr %t, ptr %args, i64 %nargs, ptr %names) {{
start:
  %pointers.at = getelementptr i64, ptr %t, i64 {words.POINTERS}
  %pointers.n = load i64, ptr %pointers.at
  %registers.at = getelementptr i64, ptr %t, i64 {words.REGISTERS}
  %registers.n = load i64, ptr %registers.at
  %registers = alloca ptr, i64 %registers.n
  %owned = alloca ptr, i64 %registers.n
  %pointers = alloca ptr, i64 %pointers.n
  %values = alloca i64, i64 %pointers.n
  %owned.n = alloca i64
  %overflow = alloca i32
  %place = alloca i64
  %entry.key = alloca ptr
  %entry.value = alloca ptr
  %last.at = getelementptr i64, ptr %t, i64 {words.LAST}
  store i64 0, ptr %last.at
  %pc.at = alloca ptr
  %result = alloca ptr
  store i64 0, ptr %owned.n
  store ptr null, ptr %result
  %program.at = getelementptr i64, ptr %t, i64 {words.PROGRAM}
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
{_SWITCH}
  ]
"""

_RUN = f"""
; ---- the kernel, alone with the workspaces of this table, between two callables if it has them
op.run:
  %busy.at = getelementptr i64, ptr %t, i64 {words.BUSY}
  %busy = load i64, ptr %busy.at
  %free = icmp eq i64 %busy, 0
  br i1 %free, label %run.begin, label %release
run.begin:
  %kernel.at = getelementptr i64, ptr %t, i64 {words.KERNEL}
  %kernel = load ptr, ptr %kernel.at
  %sizes.at = getelementptr i64, ptr %t, i64 {words.SIZES}
  %sizes = load ptr, ptr %sizes.at
  %consts.at = getelementptr i64, ptr %t, i64 {words.CONSTS}
  %consts = load ptr, ptr %consts.at
  %nogil.at = getelementptr i64, ptr %t, i64 {words.NOGIL}
  %nogil = load i64, ptr %nogil.at
  %shared.at = getelementptr i64, ptr %t, i64 {words.SHARED}
  %shared = load i64, ptr %shared.at
  %around.at = getelementptr i64, ptr %t, i64 {words.AROUND}
  %around = load ptr, ptr %around.at
  store i64 %shared, ptr %busy.at
  %alone = icmp eq ptr %around, null
  br i1 %alone, label %run.now, label %run.before
run.before:
  %before = load ptr, ptr %around
  %before.value = call ptr @PyObject_CallNoArgs(ptr %before)
  %before.failed = icmp eq ptr %before.value, null
  br i1 %before.failed, label %run.unable, label %run.prepared
run.unable:
  store i64 0, ptr %busy.at
  br label %release
run.prepared:
  call void @Py_DecRef(ptr %before.value)
  br label %run.now
run.now:
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
  br i1 %alone, label %run.after, label %run.finish
run.finish:
  %finish.at = getelementptr ptr, ptr %around, i64 1
  %finish = load ptr, ptr %finish.at
  %finish.value = call ptr @PyObject_CallNoArgs(ptr %finish)
  %finish.failed = icmp eq ptr %finish.value, null
  br i1 %finish.failed, label %run.unable, label %run.finished
run.finished:
  call void @Py_DecRef(ptr %finish.value)
  br label %run.after
run.after:
  store i64 0, ptr %busy.at
  store i64 %status, ptr %last.at
  %fine = icmp eq i64 %status, 0
  br i1 %fine, label %run.count, label %release
run.count:
  %calls.at = getelementptr i64, ptr %t, i64 {words.CALLS}
  %calls = load i64, ptr %calls.at
  %calls.new = add i64 %calls, 1
  store i64 %calls.new, ptr %calls.at
  br label %step
"""

_END = """
; ---- ra is ours until the call ends; NULL if the call that made it failed
own:
  %own.object = load ptr, ptr %ra
  %own.failed = icmp eq ptr %own.object, null
  br i1 %own.failed, label %clear, label %keep
made:
  %made.object = load ptr, ptr %ra
  %made.failed = icmp eq ptr %made.object, null
  br i1 %made.failed, label %release, label %keep
keep:
  %kept = phi ptr [ %own.object, %own ], [ %made.object, %made ]
  %keep.n = load i64, ptr %owned.n
  %keep.at = getelementptr ptr, ptr %owned, i64 %keep.n
  store ptr %kept, ptr %keep.at
  %keep.more = add i64 %keep.n, 1
  store i64 %keep.more, ptr %owned.n
  br label %step

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

CODE = "".join(
    (
        _DECLARATIONS,
        front_array.CHECK,
        front_array.DISJOINT,
        _CHAIN,
        _HOLD,
        _TRY,
        front_arguments.TEXT,
        front_results.TEXT,
        _RUN,
        _END,
    )
)
_DECLARED = re.findall(r"declare \S+ @(Py\w+)", CODE)
C_FUNCTIONS = tuple(name for name in _DECLARED if not name.startswith("PyArray_"))
