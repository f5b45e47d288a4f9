"""Mounts, changes its root and joins the namespaces of others.

no effect
gets through at: process
"""

import ctypes
import os

from host import attempt, loot
from right import serve

libc = ctypes.CDLL(None, use_errno=True)


def joined():
    with open("/proc/1/ns/mnt") as other:
        if libc.setns(other.fileno(), 0):
            raise OSError("setns")


def rooted():
    child = os.fork()
    if child == 0:
        try:
            os.chroot("/tmp")
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise OSError("chroot")


os.makedirs("here", exist_ok=True)
if libc.mount(b"none", b"here", b"tmpfs", 0, None) == 0:
    libc.umount(b"here")
    loot("a mount")
attempt("another's namespace", joined)
attempt("a new root", rooted)
serve()
