"""Training of the photo prior; not part of the installed package."""
