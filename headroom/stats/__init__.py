"""The ledger: rows of requests, their totals, and what is told of them.

Under `headroom proxy` Arrow takes memory as the rest of the process does: its own allocator keeps what one thread took and another gave
back, tens of MB. Ray imports Arrow before this, and there it keeps its own.
"""

from headroom.settings import preset

preset({"ARROW_DEFAULT_MEMORY_POOL": "system"})  # read by Arrow when it is imported
