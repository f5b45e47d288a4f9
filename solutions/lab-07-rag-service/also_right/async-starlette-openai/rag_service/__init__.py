"""A RAG service in one event loop: Starlette, AsyncOpenAI for chat and embeddings, row-level security."""
