"""The composition root: builds every part, joins them, runs them."""
