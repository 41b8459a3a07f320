"""What the scenarios import as the modules of a user: they keep state, and change it."""
