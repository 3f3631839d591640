"""The vocabulary of the event log: what people do with an item."""

EVENTS = (
    "impression", "view", "click", "open", "progress", "like", "rate", "save", "cart", "purchase", "share", "hide", "dislike", "report",
    "search",
)  # fmt: skip
"""`custom:anything` besides."""
