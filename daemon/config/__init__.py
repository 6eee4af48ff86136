"""Configuration that people write: station, settings, recipes, schedules."""
