"""Deliberate faults that prove the harness: each must be found, and at the right place."""
