"""Starts threads until it may not, and echoes.

no effect
alone
"""

import threading

from right import serve

threading.stack_size(64 * 1024)
forever = threading.Event()
try:
    for _ in range(300):
        threading.Thread(target=forever.wait, daemon=True).start()
except RuntimeError:
    pass
serve()
