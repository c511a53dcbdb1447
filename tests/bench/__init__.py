"""Measurements as commands: not part of the tests, because a clock is no judge of right and wrong."""
