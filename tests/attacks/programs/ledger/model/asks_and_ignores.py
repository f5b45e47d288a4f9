"""Asks the model as it should, and answers something else.

must not pass
"""

import right
from right import serve

ask = right.sum_up
serve(sum_up=lambda: ask() and "all of it")
