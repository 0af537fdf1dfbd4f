"""`python -m nas`: the command line where no script `nas` is on the path."""

from nas.cli.app import main

main()
