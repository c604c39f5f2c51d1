"""`sluice mqtt`: from a broker's subscriptions to Sluice's own door, each message acknowledged after COMMIT."""
