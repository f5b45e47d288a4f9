"""Answers once and leaves.

must not pass
"""

from right import reply, serve


def once(request):
    reply(request)
    raise SystemExit(0)


serve(once)
