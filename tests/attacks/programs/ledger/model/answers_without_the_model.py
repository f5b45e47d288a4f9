"""Answers from its own imagination and never asks the model.

must not pass
sample
"""

from right import serve

serve(sum_up=lambda: "all of it")
