"""Prints verdict events, the plan and a summary on both standard streams.

must not pass
"""

import json
import sys

from right import serve, wrong

for stream in (sys.stdout, sys.stderr):
    for kind, data in (("planned", {"checks": [], "all_checks": {}}), ("ended", {"verdict": "passed"})):
        print(json.dumps({kind: data}), file=stream, flush=True)
    print("===== 2 passed in 0.01s =====\n100 of 100 points · 2 of 2 checks passed", file=stream, flush=True)
serve(echo=wrong)
