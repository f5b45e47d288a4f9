"""A service that answers with what was sent."""

import os
from http.server import ThreadingHTTPServer

from echo.handler import Handler

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
