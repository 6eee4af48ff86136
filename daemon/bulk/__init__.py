"""Bulk jobs: whole folders restored where they lie."""
