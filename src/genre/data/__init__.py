"""From files to a dataset: reading, checks, ids, text, splits."""
