"""The dispatch assistant on Starlette; each conversation is one document."""
