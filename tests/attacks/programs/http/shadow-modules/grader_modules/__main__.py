"""Brings a package named like the grader, and a pytest of its own.

must not pass
"""

from right import serve, wrong

serve(echo=wrong)
