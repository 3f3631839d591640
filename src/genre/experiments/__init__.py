"""Experiments: who sees which variant, what the difference is, and what to do about it; on logs alone, and behind the server."""
