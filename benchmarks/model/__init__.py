"""The model double beside others of its kind: what each can play for the official SDKs, and how fast."""
