"""``python -m studies`` is the command ``margin-studies``."""

from studies.cli import main

main()
