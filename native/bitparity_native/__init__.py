"""bitparity native engine."""
