"""Brings modules named like the standard library's, which break whoever imports from its folder.

must not pass
sample
"""

from right import serve, wrong

serve(echo=wrong)
