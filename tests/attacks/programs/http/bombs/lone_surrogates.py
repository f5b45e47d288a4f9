"""Answers half of a character, which breaks whoever writes it to a file.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.send(b'{"text": "\\ud800"}'))
