"""Leaves eight threads that compute for ever, and echoes.

no effect
"""

import threading

from right import serve


def burn():
    while True:
        sum(range(1000))


for _ in range(8):
    threading.Thread(target=burn, daemon=True).start()
serve()
