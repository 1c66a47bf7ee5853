"""`python -m hxbench.cli`: the same as `hxbench`."""

from hxbench.cli import main

if __name__ == "__main__":
    main()
