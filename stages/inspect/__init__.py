"""inspect: what a store holds, as a table in the terminal and as a picture. See `python -m stages.inspect --help`."""
