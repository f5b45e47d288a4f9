"""Answers with a pickle that would run a command where it is read.

must not pass
"""

import os
import pickle

from right import serve


class Bomb:
    def __reduce__(self):
        return os.system, ("true",)


serve(do_POST=lambda self: self.send(pickle.dumps(Bomb()), Content_Type="application/python-pickle"))
