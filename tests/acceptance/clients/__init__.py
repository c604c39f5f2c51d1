"""Programs of unmodified client libraries, each a process of its own: what users would write, and no more."""
