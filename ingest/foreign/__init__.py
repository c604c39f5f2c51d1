"""Doors for protocols that exist already (contract §6): their routes, and how each wants to be answered."""
