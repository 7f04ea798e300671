"""Concurrency primitives shared by the Descope and the Redis clients."""
