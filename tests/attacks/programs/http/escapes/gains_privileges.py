"""Looks for capabilities, and for programs that give them.

no effect
gets through at: process
"""

from host import loot
from right import serve

status = dict(line.rstrip("\n").split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
# Where the grader is root, reading past file modes may be kept: what that reads is for the attacks on files to show.
if int(status["CapEff"], 16) & ~(1 << 2):
    loot(f"capabilities {status['CapEff']}")
if status["NoNewPrivs"] != "1":
    loot("set-user-id programs work")
serve()
