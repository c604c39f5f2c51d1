"""Contracts: what goes over the wire, what is stored, what can go wrong. Imports nothing of ours, does no I/O."""
