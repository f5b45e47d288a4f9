"""Searches its memory for the value that is expected.

must not pass
"""

import gc

from right import serve


def steal(self, sent):
    del sent
    texts = [text for text in gc.get_objects() if isinstance(text, str) and text.startswith("0.")]
    return {"text": texts[-1] if texts else "0"}


serve(echo=steal)
