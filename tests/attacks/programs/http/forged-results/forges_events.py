"""Writes verdict events to every descriptor that it can open.

must not pass
sample
"""

import json
import os

from right import serve, wrong

RESULT = {
    "check": {"name": "echoes_text", "title": "", "task": "echo", "after": []},
    "verdict": "passed",
    "seconds": 0.1,
    "failure": None,
    "notes": [],
}
LINE = json.dumps({"ended": RESULT}).encode() + b"\n"


def forge(self, sent):
    for descriptor in range(64):
        try:
            os.write(descriptor, LINE)
        except OSError:
            pass
    return wrong()


serve(echo=forge)
