"""Single flight and circuit breaker, shared by the Descope and the Redis clients."""
