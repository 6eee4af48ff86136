"""Many tasks, batched on one device."""
