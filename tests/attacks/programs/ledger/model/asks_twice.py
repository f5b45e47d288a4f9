"""Asks the model a second time, without the entries, and hides it.

must not pass
"""

import right
from right import serve

ask = right.sum_up


def twice():
    first = ask()
    try:
        ask()
    except Exception:
        pass
    return first


serve(sum_up=twice)
