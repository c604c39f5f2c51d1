"""docker-compose.yml brought up for real, profile by profile, with podman: `python -m tests.compose`."""
