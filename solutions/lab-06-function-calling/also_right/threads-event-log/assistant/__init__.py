"""The dispatch assistant on threads and the standard library; all that it remembers is a log of events."""
