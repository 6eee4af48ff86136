"""What crosses the process boundary: tasks and reports, frozen and picklable."""
