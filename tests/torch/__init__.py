"""torch, where it is installed: it is no dependency of the tests, and without it the summary says `not run`."""
