"""Trusted code only: it runs a learner's program, plays the model, reads the database and scores what it observed."""

__version__ = "0.1.0"
