"""Sends the model a prompt of 60 MB.

must not pass
"""

import os
import urllib.request

from right import serve


def giant():
    request = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", b'{"x": "' + b"x" * 60_000_000)
    with urllib.request.urlopen(request) as reply:
        return reply.read().decode()


serve(sum_up=giant)
