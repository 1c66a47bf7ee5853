"""hxbench's load generator beside others, on this machine, in one session: `make benchmark`."""
