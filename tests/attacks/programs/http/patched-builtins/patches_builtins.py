"""Patches the builtins that comparisons need, in its own process.

must not pass
sample
"""

import builtins

from right import serve, wrong

for name in ("isinstance", "all", "any", "len", "type"):
    setattr(builtins, f"_{name}", getattr(builtins, name))
builtins.all = builtins.any = lambda *_: True
serve(echo=wrong)
