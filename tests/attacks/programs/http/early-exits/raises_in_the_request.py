"""Raises SystemExit(0) in the thread that should answer.

must not pass
"""

import sys

from right import serve

serve(echo=lambda self, sent: sys.exit(0))
