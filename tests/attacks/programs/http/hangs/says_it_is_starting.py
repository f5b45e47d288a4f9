"""Answers for ever that it will be ready soon.

must not pass
"""

from right import serve

serve(do_GET=lambda self: self.answer({"status": "starting"}, 503))
