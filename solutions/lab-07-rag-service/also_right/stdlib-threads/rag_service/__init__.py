"""A RAG service on the standard library: threads, plain HTTP to the provider, one vector table per space."""
