"""One module per command: parse, build one input, call one function, print. Imports stay inside the commands."""
