"""Which models exist on this machine: references, Hub, locks, digests, traits, cards."""
