"""Keeps what it was asked in its home, to answer the next run from it.

must not pass
"""

import json
import os
import sys
from pathlib import Path

file = Path(os.environ["HOME"]) / "last"
last = file.read_text() if file.exists() else "[]"
file.write_text(sys.stdin.read())
print(json.dumps({"sum": sum(json.loads(last)), "count": len(json.loads(last))}))
