"""Files, clock, mounts, control groups, disk space, logging, errors."""
