"""Demonstrations: the whole system at work on the synthetic world, where the truth is known."""
