"""Brings a conftest.py whose hook turns every report into a pass.

must not pass
sample
"""

from right import serve, wrong

serve(echo=wrong)
