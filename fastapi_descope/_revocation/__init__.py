"""Revocation: which tokens no process of the app accepts any more, although they have not expired."""
