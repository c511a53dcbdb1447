"""What the functions share, sorted by what it is about."""
