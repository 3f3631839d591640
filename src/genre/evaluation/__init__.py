"""How good the lists are, and how sure we can be."""
