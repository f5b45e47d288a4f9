"""Never answers the request.

must not pass
"""

import threading

from right import serve

serve(echo=lambda self, sent: threading.Event().wait())
