"""Leaves with exit code 0 in the middle of the request that it should answer.

must not pass
"""

import os

from right import serve

serve(echo=lambda self, sent: os._exit(0))
