"""Brings modules that Python imports by itself at its start, and a path file.

must not pass
"""

from right import serve, wrong

serve(echo=wrong)
