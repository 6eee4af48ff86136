"""Messages between processes: tasks and reports, frozen and picklable."""
