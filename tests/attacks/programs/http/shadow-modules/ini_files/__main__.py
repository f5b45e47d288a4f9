"""Brings configuration for pytest, setuptools and tox.

must not pass
"""

from right import serve, wrong

serve(echo=wrong)
