"""Brings files with settings for Python and for tools that read them from the folder they stand in.

must not pass
"""

from right import serve, wrong

serve(echo=wrong)
