"""Pure metrics on embeddings, one protocol a file."""
