"""Serving: a published bundle answers requests, logs what it showed, and never imports torch."""
