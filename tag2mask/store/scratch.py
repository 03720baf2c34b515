"""A file without a name, where TMPDIR says, for what a process wants back in any order."""

import os
import tempfile


class Scratch:
    """Bytes that are appended and read again. It is gone with the last process that has it.

    Threads and processes that are forked afterwards may read at once: they share no position.
    """

    def __init__(self) -> None:
        self.file, self.size = tempfile.TemporaryFile(), 0

    def append(self, data: bytes | memoryview) -> None:
        self.file.write(data)
        self.file.flush()
        self.size += memoryview(data).nbytes

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` on, before `stop`."""
        return os.pread(self.file.fileno(), max(0, stop - start), start)
