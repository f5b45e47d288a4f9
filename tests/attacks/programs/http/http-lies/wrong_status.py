"""Echoes with a status that says it failed.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.answer(self.echo({"text": ""}), 201))
