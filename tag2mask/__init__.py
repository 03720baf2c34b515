"""What the stages share, and the command: data, store, run, learn, view. Errors stand below all of them."""
