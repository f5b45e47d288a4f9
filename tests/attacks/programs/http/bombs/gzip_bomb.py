"""Answers with a gzip bomb of 1 GB, which was not asked for.

must not pass
sample
"""

import zlib

from right import serve

packer = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB = b"".join(packer.compress(bytes(2**20)) for _ in range(1000)) + packer.flush()
serve(do_POST=lambda self: self.send(BOMB, Content_Encoding="gzip"))
