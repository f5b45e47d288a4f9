"""Makes a device file for the disk, and reads the kernel's memory and log.

no effect
gets through at: process
"""

import os
import stat

from host import attempt
from right import serve


def device():
    os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(254, 0))
    os.remove("disk")


attempt("a device", device)
for path in ("/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda"):
    attempt(path, lambda path=path: open(path, "rb", buffering=0).read(16))
serve()
