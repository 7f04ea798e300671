"""Fault injection: errors, delays and broken connections on demand, for the next calls of an endpoint."""
