"""What a network on a CPU asks for again and again stays with the process, and nothing else does."""

import contextlib
import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MOST, MOST_OF_OLD = 2**31 - 1, 2**25  # bytes; older versions refuse a larger threshold, and 128 kB would stay


def hold():
    """Settings of the process, before its first convolution; where the C library is not glibc, the first alone.

    oneDNN makes its kernels anew instead of keeping those for a thousand sizes of photos: gigabytes, and no second is
    lost. Freed activations stay in the heap instead of going back to the system at every layer, which fills new ones
    with zeros: a tenth of the time.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0")
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(TRIM_THRESHOLD, MOST)
        if not mallopt(MMAP_THRESHOLD, MOST):
            mallopt(MMAP_THRESHOLD, MOST_OF_OLD)
