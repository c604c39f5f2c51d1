"""What is stored as a run: readings of one series that came together."""

QUARTER_US = 900_000_000
"""A run lies within a quarter of an hour: `quarter_of` of the schema. Its offsets fit into an integer."""
SHORTEST = 4  # readings of a run; fewer are stored one by one, where SQL finds them by index
LONGEST = 320  # so that two runs fit on a page of 8 KiB
