"""Answers questions from a tenant's own documents, with citations that hold."""
