"""Jobs over whole folders."""
