"""Shows a finished run: on the terminal, and as JSON with a numbered format."""
