"""The numbers of leases and fencing, which depend on one another. Seconds."""

TERM = 28.0
"""A lease that has not changed for so long is nobody's any more."""
RENEW_EVERY = 6.0
WRITE = 12.0
"""After so long a bulk write is given up, by Table Storage and by us: it has been done by then, or never will be."""
MARGIN = WRITE + 2.0
"""So long before the end of its lease a worker sends no more writes: none of them lands after another has taken over."""
