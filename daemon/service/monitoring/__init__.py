"""What others see of the daemon: health, metrics, notifications, systemd."""
