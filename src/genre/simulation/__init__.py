"""Simulation: users who answer slates, known (the synthetic world) or learnt from logs, and an environment to learn decisions in."""
