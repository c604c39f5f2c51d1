"""Rules, the pure machine, the record of what it decided, and the way of an event to every dashboard."""
