"""Webhooks: a table of deliveries, and the elected worker that tries them."""
