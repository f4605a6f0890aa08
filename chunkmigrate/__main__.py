"""``python -m chunkmigrate``: the command line where its script is not on PATH."""

from chunkmigrate.cli import main

main()
