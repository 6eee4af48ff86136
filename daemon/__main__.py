"""`python -m daemon` is `restored`."""

from daemon.cli import main

if __name__ == "__main__":
    main()
