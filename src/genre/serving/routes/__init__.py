"""The routes of API v1, a file a topic."""
