"""The handbook's pages: one TOML template a kind of document, filled with fresh facts by handbook.py in every run."""
