"""`python -m mnp_core.cli` is `mnp`."""

from mnp_core.cli import main

main()
