"""Ends with exit code 0 and says nothing.

must not pass
sample
"""
