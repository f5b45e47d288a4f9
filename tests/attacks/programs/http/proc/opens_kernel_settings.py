"""Opens settings of the kernel for writing.

no effect
gets through at: process
"""

from host import attempt
from right import serve

for path in (
    "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/proc/1/oom_score_adj",
):
    attempt(path, lambda path=path: open(path, "r+b").close())
serve()
