"""The dashboard: pages as pure functions of frozen views; whoever serves them fills the views."""
