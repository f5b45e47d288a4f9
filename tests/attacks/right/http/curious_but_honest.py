"""Uses much of the standard library: threads, time zones, locales, TLS contexts, randomness, host names, psutil."""

import datetime
import locale
import platform
import secrets
import socket
import ssl
import threading
import zoneinfo
from concurrent.futures import ThreadPoolExecutor

import psutil

from right import serve

ssl.create_default_context()
zoneinfo.ZoneInfo("Europe/Berlin").utcoffset(datetime.datetime(2026, 1, 1))
locale.setlocale(locale.LC_ALL, "")
print(platform.platform(), socket.gethostname(), secrets.token_hex(4), psutil.Process().memory_info().rss)
assert socket.getaddrinfo("localhost", 80)
left, right = socket.socketpair()
left.sendall(b"x")
assert right.recv(1) == b"x"
pool = ThreadPoolExecutor(4)
lock = threading.RLock()


def echo(self, sent):
    with lock:
        return pool.submit(lambda: {"text": sent["text"]}).result()


serve(echo=echo)
