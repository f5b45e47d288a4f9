"""The right answer to lab-03, for attacks to build on."""

import json
import sys

from host import LOOT


def right():
    """Do the work; the exit code."""
    if sys.argv[1:] == ["loot"]:
        print(json.dumps(LOOT))
        return 0
    try:
        numbers = json.load(sys.stdin)
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise ValueError("not a list of whole numbers")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"sum": sum(numbers), "count": len(numbers)}), flush=True)
    return 0
