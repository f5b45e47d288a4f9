"""Wrong: floats. Adds up a JSON list of whole numbers."""

import json
import sys


def main():
    try:
        numbers = json.load(sys.stdin)
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise ValueError("not a list of whole numbers")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"sum": float(sum(numbers)), "count": len(numbers)}))
    return 0


sys.exit(main())
