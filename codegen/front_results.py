"""Operations of a compiled front that make its results, in LLVM's language (front_arguments.py)."""

TEXT = """
; ---- ra, with pointer b to its data: an array (c: descr, nd, dims), an array from a callable (c:
; ---- callable, tuple of arguments), a copy in C order of the array rc, a scalar object of type c
op.empty:
  %empty.descr = load ptr, ptr %cp
  %empty.nd.at = getelementptr i64, ptr %cp, i64 1
  %empty.nd64 = load i64, ptr %empty.nd.at
  %empty.nd = trunc i64 %empty.nd64 to i32
  %empty.dims = getelementptr i64, ptr %cp, i64 2
  call void @Py_IncRef(ptr %empty.descr)
  %empty.value = call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %empty.descr,
                           i32 %empty.nd, ptr %empty.dims, ptr null, ptr null, i32 0, ptr null)
  br label %array.made
op.borrow:
  %borrow.callable = load ptr, ptr %cp
  %borrow.args.at = getelementptr ptr, ptr %cp, i64 1
  %borrow.args = load ptr, ptr %borrow.args.at
  %borrow.value = call ptr @PyObject_CallObject(ptr %borrow.callable, ptr %borrow.args)
  br label %array.made
op.copy:
  %copy.source.at = getelementptr ptr, ptr %registers, i64 %c
  %copy.source = load ptr, ptr %copy.source.at
  %copy.value = call ptr @PyArray_NewCopy(ptr %copy.source, i32 0)
  br label %array.made
array.made:
  %array.new = phi ptr [ %empty.value, %op.empty ], [ %borrow.value, %op.borrow ],
                       [ %copy.value, %op.copy ]
  store ptr %array.new, ptr %ra
  %array.failed = icmp eq ptr %array.new, null
  br i1 %array.failed, label %release, label %array.place
array.place:
  %array.new.at = getelementptr i8, ptr %array.new, i64 16
  %array.new.data = load ptr, ptr %array.new.at
  store ptr %array.new.data, ptr %pb
  br label %made
op.scalar:
  %scalar.value = call ptr @PyType_GenericAlloc(ptr %cp, i64 0)
  store ptr %scalar.value, ptr %ra
  %scalar.at = getelementptr i8, ptr %scalar.value, i64 16
  store ptr %scalar.at, ptr %pb
  br label %made

; ---- c bytes at pointer a = those at pointer b
op.store:
  %store.to.at = getelementptr ptr, ptr %pointers, i64 %a
  %store.to = load ptr, ptr %store.to.at
  %store.from = load ptr, ptr %pb
  call void @llvm.memcpy.p0.p0.i64(ptr %store.to, ptr %store.from, i64 %c, i1 false)
  br label %step

; ---- the elements of the array ra = those of rb
op.pour:
  %pour.to = load ptr, ptr %ra
  %pour.from = load ptr, ptr %rb
  %pour.status = call i32 @PyArray_CopyInto(ptr %pour.to, ptr %pour.from)
  %pour.ok = icmp eq i32 %pour.status, 0
  br i1 %pour.ok, label %step, label %clear

; ---- ra = the local value b as a float, as an int, as one of two objects; the object b
op.float:
  %float.bits = load double, ptr %vb
  %float.value = call ptr @PyFloat_FromDouble(double %float.bits)
  store ptr %float.value, ptr %ra
  br label %made
op.long:
  %long.bits = load i64, ptr %vb
  %long.value = call ptr @PyLong_FromLongLong(i64 %long.bits)
  store ptr %long.value, ptr %ra
  br label %made
op.choice:
  %choice.bits = load i8, ptr %vb
  %choice.no = icmp eq i8 %choice.bits, 0
  %choice.place = select i1 %choice.no, i64 0, i64 1
  %choice.at = getelementptr ptr, ptr %cp, i64 %choice.place
  %choice.value = load ptr, ptr %choice.at
  store ptr %choice.value, ptr %ra
  br label %step
op.object:
  store ptr %bp, ptr %ra
  br label %step

; ---- ra = a container of b things: the registers that c lists; of a dict, a dict with its keys
; ---- and pairs (key, register)
op.make_tuple:
  %tuple.new = call ptr @PyTuple_New(i64 %b)
  store ptr %tuple.new, ptr %ra
  %tuple.failed = icmp eq ptr %tuple.new, null
  br i1 %tuple.failed, label %release, label %tuple.filled
tuple.filled:
  %tuple.first = getelementptr i8, ptr %tuple.new, i64 24
  br label %fill
op.make_list:
  %list.new = call ptr @PyList_New(i64 %b)
  store ptr %list.new, ptr %ra
  %list.failed = icmp eq ptr %list.new, null
  br i1 %list.failed, label %release, label %list.filled
list.filled:
  %list.first.at = getelementptr i8, ptr %list.new, i64 24
  %list.first = load ptr, ptr %list.first.at
  br label %fill
fill:
  %items = phi ptr [ %tuple.first, %tuple.filled ], [ %list.first, %list.filled ],
                   [ %like.first, %like.filled ]
  %whose.first = phi ptr [ %cp, %tuple.filled ], [ %cp, %list.filled ],
                         [ %like.which, %like.filled ]
  br label %fill.next
fill.next:
  %j = phi i64 [ 0, %fill ], [ %j.new, %fill.one ]
  %fill.done = icmp sge i64 %j, %b
  br i1 %fill.done, label %made, label %fill.one
fill.one:
  %which.at = getelementptr i64, ptr %whose.first, i64 %j
  %which = load i64, ptr %which.at
  %item.at = getelementptr ptr, ptr %registers, i64 %which
  %item = load ptr, ptr %item.at
  call void @Py_IncRef(ptr %item)
  %slot = getelementptr ptr, ptr %items, i64 %j
  store ptr %item, ptr %slot
  %j.new = add i64 %j, 1
  br label %fill.next
op.make_dict:
  %dict.like = load ptr, ptr %cp
  %dict.new = call ptr @PyDict_Copy(ptr %dict.like)
  store ptr %dict.new, ptr %ra
  %dict.failed = icmp eq ptr %dict.new, null
  br i1 %dict.failed, label %release, label %pair.next
pair.next:
  %m = phi i64 [ 0, %op.make_dict ], [ %m.new, %pair.one ]
  %pairs.done = icmp sge i64 %m, %b
  br i1 %pairs.done, label %made, label %pair.one
pair.one:
  %m2 = shl i64 %m, 1
  %m21 = add i64 %m2, 1
  %key.at = getelementptr i64, ptr %cp, i64 %m21
  %key = load ptr, ptr %key.at
  %whose.at = getelementptr i64, ptr %key.at, i64 1
  %whose = load i64, ptr %whose.at
  %pair.at = getelementptr ptr, ptr %registers, i64 %whose
  %pair = load ptr, ptr %pair.at
  %set = call i32 @PyDict_SetItem(ptr %dict.new, ptr %key, ptr %pair)
  %m.new = add i64 %m, 1
  br label %pair.next

; ---- ra = an object of the tuple's subclass whose words c begin with it, then as make_tuple
op.make_like:
  %like.type = load ptr, ptr %cp
  %like.new = call ptr @PyType_GenericAlloc(ptr %like.type, i64 %b)
  store ptr %like.new, ptr %ra
  %like.failed = icmp eq ptr %like.new, null
  br i1 %like.failed, label %release, label %like.filled
like.filled:
  %like.first = getelementptr i8, ptr %like.new, i64 24
  %like.which = getelementptr ptr, ptr %cp, i64 1
  br label %fill

; ---- ra = the callable c of rb; ra = an empty object of type b; the attribute c of ra = rb
op.call:
  %call.value = call ptr @PyObject_Vectorcall(ptr %cp, ptr %rb, i64 1, ptr null)
  store ptr %call.value, ptr %ra
  br label %own
op.new:
  %new.value = call ptr @PyType_GenericAlloc(ptr %bp, i64 0)
  store ptr %new.value, ptr %ra
  br label %made
op.set:
  %set.object = load ptr, ptr %ra
  %set.value = load ptr, ptr %rb
  %set.failed = call i32 @PyObject_GenericSetAttr(ptr %set.object, ptr %cp, ptr %set.value)
  %set.ok = icmp eq i32 %set.failed, 0
  br i1 %set.ok, label %step, label %clear

; ---- the answer is ra
op.return:
  %answer = load ptr, ptr %ra
  call void @Py_IncRef(ptr %answer)
  store ptr %answer, ptr %result
  br label %release
"""
