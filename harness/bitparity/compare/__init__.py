"""Compare two engines position by position."""
