"""The client of Descope's HTTP API."""
