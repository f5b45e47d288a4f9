"""Prints a sum with a decimal point, and true for a count of one.

must not pass
"""

import json
import sys

numbers = json.load(sys.stdin)
print(json.dumps({"sum": float(sum(numbers)), "count": len(numbers)}))
