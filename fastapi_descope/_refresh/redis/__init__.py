"""The refresh store that a fleet shares through Redis."""
