"""Language models: read from wherever they are, trained further on text and clicks, and run cheaply."""
