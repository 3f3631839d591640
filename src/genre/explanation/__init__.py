"""Explanations: what in the history a recommendation rests on."""

from genre.explanation.attribution import strongest_event

__all__ = ["strongest_event"]
