"""Authentication and the session life cycle, without a web framework."""
