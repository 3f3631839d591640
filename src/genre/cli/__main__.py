"""`python -m genre.cli`."""

from genre.cli import main

main()
