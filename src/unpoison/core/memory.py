"""Memory settings of this process: large blocks of the C library, and Python's search for cycles."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys

# glibc's options, from its malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MIB = 1 << 20


def keep_memory() -> bool:
    """Keep the memory of freed tensors for the next ones, instead of giving it back to the kernel each time.

    As it is set up, glibc returns every large block when it is freed; a network on the CPU then spends up to a quarter
    of its time on having pages cleared for it again. At most 2 GiB are kept that are not in use.

    Returns:
        Whether that could be set: not outside Linux, nor with a C library that has no such options.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((_MMAP_THRESHOLD, 32 * _MIB), (_TRIM_THRESHOLD, 2048 * _MIB - 1), (_TOP_PAD, 64 * _MIB))
    return all(mallopt(option, value) == 1 for option, value in wanted)


def collect_rarely() -> None:
    """Look for unreachable cycles seldom, and not at all when the process ends.

    Python looks after every 700 new objects, and once more at the end. What torch and its like bring with them when
    they are imported lives as long as the process: a third of the time of a short command went into looking at it.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)
