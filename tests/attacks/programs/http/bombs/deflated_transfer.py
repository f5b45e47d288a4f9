"""Hides compression in the transfer coding.

must not pass
"""

import gzip

from right import serve

serve(do_POST=lambda self: self.send(gzip.compress(bytes(2**20)), Transfer_Encoding="gzip"))
