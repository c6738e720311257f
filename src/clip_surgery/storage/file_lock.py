"""File lock: one process at a time, and free again when that process ends, however it ends."""

from __future__ import annotations


def take_lock(handle: int) -> bool:
    """Lock an open file until it is closed; False when another process has it.

    True as well where files cannot be locked: on Windows, and on some network file systems.
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
