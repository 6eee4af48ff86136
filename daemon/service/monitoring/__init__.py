"""Monitoring of the daemon: health, metrics, messages to people, systemd."""
