"""Sends a length and chunks at once, as request smuggling does.

must not pass
"""

from right import serve

serve(
    do_POST=lambda self: self.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n"
        + b'{"text": ""}\r\n0\r\n\r\n'
    )
)
