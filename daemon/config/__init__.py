"""What people write: station, settings, recipes, schedules."""
