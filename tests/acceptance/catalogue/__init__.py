"""The catalogue of bad inputs, as data: a file a section, a line a case."""
