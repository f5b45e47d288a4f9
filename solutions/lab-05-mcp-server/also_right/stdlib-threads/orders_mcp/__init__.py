"""The orders server without an SDK: JSON-RPC by hand, one thread a request, all memory in the database."""
