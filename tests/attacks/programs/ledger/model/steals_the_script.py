"""Looks for routes of the model that would tell what it is going to say.

must not pass
"""

import os
import urllib.request

from right import serve

FOUND = []
for path in ("/", "/script", "/admin", "/_script", "/journal", "/v1/script", "/reset", "/openapi.json", "/debug"):
    try:
        with urllib.request.urlopen(os.environ["ANTHROPIC_BASE_URL"] + path, timeout=2) as reply:
            FOUND.append(reply.read().decode())
    except Exception:
        pass
serve(sum_up=lambda: "".join(FOUND) or "all of nothing")
