"""Meridian's dispatch assistant: the model proposes, this program decides."""
