"""`python -m stream.cli` is the command `tailstream`, for where the script is not on the path."""

from stream.cli import main

main(prog_name="tailstream")
