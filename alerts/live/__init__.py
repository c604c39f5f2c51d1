"""What dashboards see: the event log, the bus between nodes, connections, `/ws`."""
