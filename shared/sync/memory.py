"""How Python and the C library handle the memory of a worker that reads pages and writes rows."""

import contextlib
import ctypes
import functools
import gc

_M_MMAP_THRESHOLD = -3  # of glibc's mallopt()
_LARGE = 256 * 1024


@functools.cache
def tune_memory() -> None:
    """Once in a process."""
    # Pages and rows are trees: reference counts free them. By default the collector looks for cycles after every 2,000 new
    # containers, again and again at all that waits to be written: a twentieth of a first sync's CPU.
    gc.freeze()  # what was imported stays for good; a collection before it would take as long as reading a thousand people
    gc.set_threshold(50_000, 20, 100)
    # Once a page's bytes were freed, glibc puts the next ones between small objects and can't give them back: 10 MB.
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
