"""Black box: fleets and dashboards that speak to a running server as real ones would."""
