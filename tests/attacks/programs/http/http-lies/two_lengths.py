"""Sends two lengths that contradict each other, so that readers differ in where the answer ends.

must not pass
"""

from right import serve

serve(
    do_POST=lambda self: self.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Length: 4\r\n\r\n" + b'{"text": ""}'
    )
)
