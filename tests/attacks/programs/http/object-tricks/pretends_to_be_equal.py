"""Answers an object that describes itself as equal to anything.

must not pass
"""

from right import serve

serve(echo=lambda self, sent: {"text": {"__eq__": True, "__class__": "str", "__reduce__": ["builtins.str", ["x"]]}})
