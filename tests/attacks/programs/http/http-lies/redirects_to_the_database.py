"""Redirects the grader to a service of the host, with its request.

must not pass
sample
"""

from host import HOST
from right import serve

serve(do_POST=lambda self: self.send(b"", 307, Location=f"http://127.0.0.1:{HOST['tcp']}/"))
