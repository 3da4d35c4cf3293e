"""How the C library of this process deals with large blocks of memory."""

from __future__ import annotations

import ctypes
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
