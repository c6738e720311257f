"""A lock on a file for one process, which the system releases when the process ends."""

from __future__ import annotations


def take_lock(handle: int) -> bool:
    """Lock an open file until it is closed, and return whether this process has the lock.

    Where files cannot be locked (on Windows and on some network file systems), the result is True.

    Args:
        handle: file descriptor of the open file.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
