"""Every elementwise row of NumPy, in one place to import from."""

# Starred, so that a new row is written once.
from .arithmetic import *  # noqa: F403
from .logic import *  # noqa: F403
