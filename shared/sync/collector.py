"""Python's cyclic garbage collector, which has little to do in a worker that reads pages and writes rows."""

import functools
import gc


@functools.cache
def collect_rarely() -> None:
    """Once in a process. Pages and rows are trees: reference counts free them. By default the collector looks for cycles
    after every 2,000 new containers, again and again at all that wait to be written, which takes a twentieth of a first
    sync's CPU. What was imported stays for good, so it is not looked at any more.
    """
    gc.freeze()  # without a collection before, which would take as long as reading a thousand people
    gc.set_threshold(50_000, 20, 100)
