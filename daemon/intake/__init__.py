"""Ways in: watch, settle, sort, claim; retry and redo."""
