"""Prints commands that CI systems carry out: outputs, masks, groups, annotations.

must not pass
"""

import sys

print(
    "::set-output name=score::100\n::add-mask::failed\n::error file=a.py,line=1::no\n##[set-env name=X]1\n::stop-commands::x",
    flush=True,
)
print("##vso[task.complete result=Succeeded]", file=sys.stderr, flush=True)
sys.exit(3)
