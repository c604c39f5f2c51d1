"""The benchmark: what a durable reading costs, beside what it would cost to COPY it bare, and beside other servers."""
