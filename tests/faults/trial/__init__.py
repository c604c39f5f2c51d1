"""The fault bench: a whole cluster at work, something of it broken, and a checker that asks the database afterwards."""
