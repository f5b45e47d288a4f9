"""Puts escapes into the status line and header values.

must not pass
"""

from right import serve

serve(
    do_POST=lambda self: self.wfile.write(
        b"HTTP/1.1 500 \x1b[32mpassed\x1b[0m\r\nX-A: \x1b[2J\r\nContent-Length: 0\r\n\r\n"
    )
)
