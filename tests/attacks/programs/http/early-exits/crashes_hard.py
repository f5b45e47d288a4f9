"""Dies of a segmentation fault in the request.

must not pass
"""

import ctypes

from right import serve

serve(echo=lambda self, sent: ctypes.string_at(0))
