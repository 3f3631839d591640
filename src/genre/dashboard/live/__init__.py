"""The pages' views, filled from a running project: its store, its registry, its engine."""
