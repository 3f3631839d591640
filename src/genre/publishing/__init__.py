"""Publishing: a finished run becomes one bundle that is served without torch."""
