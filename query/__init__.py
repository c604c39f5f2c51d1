"""The read side: what was stored, given back."""
