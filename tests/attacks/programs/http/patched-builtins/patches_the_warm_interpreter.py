"""Patches modules that the warden holds warm, hoping that the next program is forked from the patched ones.

no effect
"""

import json
import sys

from right import serve

sys.modules["grader.sandbox.warden"] = sys.modules["__main__"]
json.JSONEncoder.default = lambda self, o: "patched"
serve()
