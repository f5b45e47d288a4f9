"""Runs the hidden checks with pytest in a process of their own and brings back one verdict for each."""
