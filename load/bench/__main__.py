"""`python -m load.bench`."""

from load.bench.cli import main

if __name__ == "__main__":  # the generators are spawned, and import this file again under another name
    main()
