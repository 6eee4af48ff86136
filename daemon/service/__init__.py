"""The daemon: its loop, its parts, monitoring and housekeeping."""
