"""The ledger: every SQL statement of the project."""
