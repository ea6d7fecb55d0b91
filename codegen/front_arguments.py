"""Operations of a compiled front that take a call apart and check it, in LLVM's language.

Each block `op.NAME` reads the words `%a`, `%b`, `%c` (`%bp` and `%cp` as pointers) and goes on to
`%step`, to `%release` where the call is not this table's, or to `%clear` where Python's error says
so.  `%ra` and `%rb` are places of registers, `%pb` of a pointer, `%vb` of a local value.  `%own`
keeps the new object in the register a until the call ends, `%made` too, but hands on the error of
whoever should have made it.

Offsets: tuple+16, list+16 and dict+16 size; tuple+24 items; list+24 address of items; scalar
objects +16 value; array+16 data, 64 flags.
"""

TEXT = """
; ---- a: positional arguments, b: keywords
op.nargs:
  %nargs.ok = icmp eq i64 %nargs, %a
  %keywords.n = call i64 @adjit_names(ptr %names)
  %keywords.ok = icmp eq i64 %keywords.n, %b
  %counts.ok = and i1 %nargs.ok, %keywords.ok
  br i1 %counts.ok, label %step, label %release

; ---- ra = args[b]
op.arg:
  %arg.at = getelementptr ptr, ptr %args, i64 %b
  %arg.value = load ptr, ptr %arg.at
  store ptr %arg.value, ptr %ra
  br label %step

; ---- ra = the keyword whose name is the object b
op.keyword:
  %keywords.at = getelementptr i8, ptr %names, i64 24
  %keywords.all = call i64 @adjit_names(ptr %names)
  br label %keyword.next
keyword.next:
  %k = phi i64 [ 0, %op.keyword ], [ %k.new, %keyword.look ]
  %keywords.done = icmp sge i64 %k, %keywords.all
  br i1 %keywords.done, label %release, label %keyword.look
keyword.look:
  %name.at = getelementptr ptr, ptr %keywords.at, i64 %k
  %name = load ptr, ptr %name.at
  %k.new = add i64 %k, 1
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

; ---- type(ra) is b and len(ra) == c, of a tuple, a list or a dict
op.box:
  %box.object = load ptr, ptr %ra
  %box.type.at = getelementptr i8, ptr %box.object, i64 8
  %box.type = load ptr, ptr %box.type.at
  %box.ok = icmp eq ptr %box.type, %bp
  br i1 %box.ok, label %box.size, label %release
box.size:
  %box.size.at = getelementptr i8, ptr %box.object, i64 16
  %box.count = load i64, ptr %box.size.at
  %box.size.ok = icmp eq i64 %box.count, %c
  br i1 %box.size.ok, label %step, label %release

; ---- ra and the next registers = the c items of rb; those of a list or a dict, which another
; ---- thread may change while the kernel runs, are held until the call ends
op.tuple_items:
  %tuple.object = load ptr, ptr %rb
  %tuple.items = getelementptr i8, ptr %tuple.object, i64 24
  br label %several
op.list_items:
  %list.object = load ptr, ptr %rb
  %list.items.at = getelementptr i8, ptr %list.object, i64 24
  %list.items = load ptr, ptr %list.items.at
  br label %several
several:
  %items.from = phi ptr [ %tuple.items, %op.tuple_items ], [ %list.items, %op.list_items ]
  %items.change = phi i1 [ false, %op.tuple_items ], [ true, %op.list_items ]
  br label %several.next
several.next:
  %it = phi i64 [ 0, %several ], [ %it.next, %several.one ], [ %it.next, %several.hold ]
  %items.done = icmp eq i64 %it, %c
  br i1 %items.done, label %step, label %several.one
several.one:
  %items.at = getelementptr ptr, ptr %items.from, i64 %it
  %items.value = load ptr, ptr %items.at
  %items.to = getelementptr ptr, ptr %ra, i64 %it
  store ptr %items.value, ptr %items.to
  %it.next = add i64 %it, 1
  br i1 %items.change, label %several.hold, label %several.next
several.hold:
  call void @adjit_hold(ptr %items.value, ptr %owned, ptr %owned.n)
  br label %several.next

; ---- the same of a dict whose keys are these in this order: c lists their number and them
op.dict_items:
  %dict.object = load ptr, ptr %rb
  %dict.count = load i64, ptr %cp
  %dict.keys = getelementptr i64, ptr %cp, i64 1
  store i64 0, ptr %place
  br label %dict.next
dict.next:
  %dk = phi i64 [ 0, %op.dict_items ], [ %dk.next, %dict.hit ]
  %dict.done = icmp eq i64 %dk, %dict.count
  br i1 %dict.done, label %step, label %dict.look
dict.look:
  %dict.key.at = getelementptr ptr, ptr %dict.keys, i64 %dk
  %dict.key = load ptr, ptr %dict.key.at
  %dict.more = call i32 @PyDict_Next(ptr %dict.object, ptr %place, ptr %entry.key, ptr %entry.value)
  %dict.some = icmp ne i32 %dict.more, 0
  br i1 %dict.some, label %dict.hold, label %release
dict.hold:
  %dict.item = load ptr, ptr %entry.value
  call void @adjit_hold(ptr %dict.item, ptr %owned, ptr %owned.n)
  %dict.found = load ptr, ptr %entry.key
  %dict.same = icmp eq ptr %dict.found, %dict.key
  br i1 %dict.same, label %dict.hit, label %dict.types
dict.types:
  %dict.type.at = getelementptr i8, ptr %dict.found, i64 8
  %dict.type = load ptr, ptr %dict.type.at
  %dict.wanted.at = getelementptr i8, ptr %dict.key, i64 8
  %dict.wanted = load ptr, ptr %dict.wanted.at
  %dict.typed = icmp eq ptr %dict.type, %dict.wanted
  br i1 %dict.typed, label %dict.compare, label %release
dict.compare:
  call void @Py_IncRef(ptr %dict.found)
  %dict.answer = call i32 @PyObject_RichCompareBool(ptr %dict.found, ptr %dict.key, i32 2)
  call void @Py_DecRef(ptr %dict.found)
  %dict.equal = icmp eq i32 %dict.answer, 1
  br i1 %dict.equal, label %dict.hit, label %dict.differs
dict.differs:
  %dict.broken = icmp slt i32 %dict.answer, 0
  br i1 %dict.broken, label %clear, label %release
dict.hit:
  %dict.to = getelementptr ptr, ptr %ra, i64 %dk
  store ptr %dict.item, ptr %dict.to
  %dk.next = add i64 %dk, 1
  br label %dict.next

; ---- ra = the attribute c of rb, the item c of rb
op.attribute:
  %attribute.object = load ptr, ptr %rb
  %attribute.value = call ptr @PyObject_GetAttr(ptr %attribute.object, ptr %cp)
  store ptr %attribute.value, ptr %ra
  br label %own

op.item:
  %item.object = load ptr, ptr %rb
  %item.found = call ptr @PyObject_GetItem(ptr %item.object, ptr %cp)
  store ptr %item.found, ptr %ra
  br label %own

; ---- ra is b, or of the same type and equal to it
op.equal:
  %equal.object = load ptr, ptr %ra
  %equal.same = icmp eq ptr %equal.object, %bp
  br i1 %equal.same, label %step, label %equal.types
equal.types:
  %equal.type.at = getelementptr i8, ptr %equal.object, i64 8
  %equal.type = load ptr, ptr %equal.type.at
  %equal.wanted.at = getelementptr i8, ptr %bp, i64 8
  %equal.wanted = load ptr, ptr %equal.wanted.at
  %equal.alike = icmp eq ptr %equal.type, %equal.wanted
  br i1 %equal.alike, label %equal.compare, label %release
equal.compare:
  %equal.answer = call i32 @PyObject_RichCompareBool(ptr %equal.object, ptr %bp, i32 2)
  %equal.ok = icmp eq i32 %equal.answer, 1
  br i1 %equal.ok, label %step, label %equal.not
equal.not:
  %equal.failed = icmp slt i32 %equal.answer, 0
  br i1 %equal.failed, label %clear, label %release

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

; ---- the word at the address b is c
op.word:
  %word.found = load i64, ptr %bp
  %word.ok = icmp eq i64 %word.found, %c
  br i1 %word.ok, label %step, label %release

; ---- ra is b, or c(ra) is True; b() is True; ra = b()
op.alike:
  %alike.object = load ptr, ptr %ra
  %alike.same = icmp eq ptr %alike.object, %bp
  br i1 %alike.same, label %step, label %alike.ask
alike.ask:
  %alike.value = call ptr @PyObject_Vectorcall(ptr %cp, ptr %ra, i64 1, ptr null)
  br label %told
op.holds:
  %holds.value = call ptr @PyObject_CallNoArgs(ptr %bp)
  br label %told
told:
  %told.value = phi ptr [ %alike.value, %alike.ask ], [ %holds.value, %op.holds ]
  %told.failed = icmp eq ptr %told.value, null
  br i1 %told.failed, label %clear, label %told.known
told.known:
  call void @Py_DecRef(ptr %told.value)
  %told.ok = icmp eq ptr %told.value, @_Py_TrueStruct
  br i1 %told.ok, label %step, label %release
op.read:
  %read.value = call ptr @PyObject_CallNoArgs(ptr %bp)
  store ptr %read.value, ptr %ra
  br label %own

; ---- pointer b = data of the array ra, which is as the record c says; of a target, writeable
op.target:
  %target.object = load ptr, ptr %ra
  %target.type.at = getelementptr i8, ptr %target.object, i64 8
  %target.type = load ptr, ptr %target.type.at
  %target.plain = icmp eq ptr %target.type, @PyArray_Type
  br i1 %target.plain, label %target.flags, label %release
target.flags:
  %target.flags.at = getelementptr i8, ptr %target.object, i64 64
  %target.bits = load i32, ptr %target.flags.at
  %target.writeable = and i32 %target.bits, 1024
  %target.ok = icmp ne i32 %target.writeable, 0
  br i1 %target.ok, label %op.array, label %release
op.array:
  %array.object = load ptr, ptr %ra
  %array.ok = call i1 @adjit_array(ptr %array.object, ptr %cp)
  br i1 %array.ok, label %array.data, label %release
array.data:
  %array.data.at = getelementptr i8, ptr %array.object, i64 16
  %array.pointer = load ptr, ptr %array.data.at
  store ptr %array.pointer, ptr %pb
  br label %step

; ---- the flags C_CONTIGUOUS (1) and F_CONTIGUOUS (2) of the array ra are b
op.order:
  %order.object = load ptr, ptr %ra
  %order.flags.at = getelementptr i8, ptr %order.object, i64 64
  %order.flags = load i32, ptr %order.flags.at
  %order.bits = and i32 %order.flags, 3
  %order.wide = zext i32 %order.bits to i64
  %order.ok = icmp eq i64 %order.wide, %b
  br i1 %order.ok, label %step, label %release

; ---- what is written overlaps with nothing else
op.disjoint:
  %disjoint.ok = call i1 @adjit_disjoint(ptr %pointers, ptr %cp)
  br i1 %disjoint.ok, label %step, label %release

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
"""
