"""Sends one header of 50 MB.

must not pass
"""

from right import serve


def flood(self):
    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _ in range(50):
        self.wfile.write(b"x" * 2**20)
    self.wfile.write(b"\r\n\r\n")


serve(do_POST=flood)
