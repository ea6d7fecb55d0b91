"""The words that tables of a compiled front are made of, for those who write and who read them."""

# Words of a head, which belongs to one callable: a list that must be empty; a list, a context
# variable to look at unless that list is empty, and None, what it has where the main chain counts;
# the table that answered the last call; the first table of the main chain; then pairs of another
# value of the variable and the first table for it, up to a 0.
(QUIET, ASIDE, VARIABLE, NONE, AGAIN, FIRST, SCOPES) = range(7)
MOST_SCOPES = 4
HEAD = SCOPES + 2 * MOST_SCOPES + 1

# Words of a table; the addresses are those of program, kernel, sizes, constants, counts of calls
# that left at each guard, and of two callables around the kernel (or 0).
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
    AROUND,
    TABLE,
) = range(16)

OPERATIONS = (
    "nargs", "arg", "keyword", "type", "box", "tuple_items", "list_items", "dict_items",
    "attribute", "item", "same", "word", "equal", "alike", "int", "holds", "read", "array", "order",
    "target", "disjoint", "value", "integer", "fixed", "local", "empty", "scalar", "borrow",
    "copy", "run", "store", "pour", "float", "long", "choice", "object", "make_tuple",
    "make_list", "make_dict", "make_like", "call", "new", "set", "return",
)  # fmt: skip
(
    NARGS, ARG, KEYWORD, TYPE, BOX, TUPLE_ITEMS, LIST_ITEMS, DICT_ITEMS, ATTRIBUTE, ITEM, SAME,
    WORD, EQUAL, ALIKE, INT, HOLDS, READ, ARRAY, ORDER, TARGET, DISJOINT, VALUE, INTEGER, FIXED,
    LOCAL, EMPTY, SCALAR, BORROW, COPY, RUN, STORE, POUR, FLOAT, LONG, CHOICE, OBJECT, MAKE_TUPLE,
    MAKE_LIST, MAKE_DICT, MAKE_LIKE, CALL, NEW, SET, RETURN,
) = range(len(OPERATIONS))  # fmt: skip
