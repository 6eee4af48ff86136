"""The commands, by what a person does with them; `daemon.cli.main` registers them."""
