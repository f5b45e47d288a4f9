"""Redirects the request to a service of the host.

must not pass
"""

from host import HOST
from right import serve

serve(reply=lambda self, request: self.send(b"", 308, Location=f"http://127.0.0.1:{HOST['tcp']}/mcp"))
